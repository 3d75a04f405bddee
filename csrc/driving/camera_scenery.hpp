// What the painters of scenery share.
#pragma once

#include "camera_frame.hpp"

namespace semore::driving {

constexpr float sight_m = 190.0f;  // scenery farther ahead is not drawn
constexpr float margin_m = 24.0f;  // nor is scenery this far behind the camera

// Stretch of road that the camera can see.
struct Reach {
    float x0, x1;
};

inline Reach reach_of(const View& view) {
    return {view.origin.x - (view.forward.x < 0.5f ? sight_m : margin_m),
            view.origin.x + (view.forward.x > -0.5f ? sight_m : margin_m)};
}

// |y| where the asphalt ends; side is 1 on the left and -1 on the right.
inline float side_edge_m(const RoadView& road, float side) {
    const float lanes = static_cast<float>(side > 0 ? road.lanes_oncoming : road.lanes_forward);
    return 0.5f * road.median_width_m + lanes * road.lane_width_m + road.shoulder_width_m;
}

inline bool in_sight(const Frame& frame, Vec3 place, float radius_m) {
    const Vec3 c = frame.view.to_camera(place);
    return c.x > -radius_m && abs_of(c.y) < c.x * frame.view.centre_px / frame.view.focal_px + 1.3f * radius_m;
}

// An upright wall from (xa, ya) to (xb, yb).
void wall_between(const Frame& frame, float xa, float ya, float xb, float yb, float z0, float z1, std::int32_t surface,
                  Pattern pattern, std::uint32_t seed);

void paint_house(const Frame& frame, HashStream& random, float x, float side);
void paint_tree(const Frame& frame, HashStream& random, float x, float y);
void paint_fence(const Frame& frame, float side);
void paint_barrier(const Frame& frame);
void paint_lamp_posts(const Frame& frame);
void paint_gantries(const Frame& frame);

}  // namespace semore::driving
