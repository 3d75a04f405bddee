// Lane geometry of the straight road. Lane 0 of each direction is next to the centre.
#pragma once

#include "scene.hpp"

#include <cmath>

namespace semore::driving {

struct LanePlace {
    int direction = 1;  // +1: driven towards +x, at y < 0
    int lane = 0;
    float centre_y_m = 0;
};

inline float lane_centre_y(const RoadView& road, int direction, int lane) {
    return -direction * (0.5f * road.median_width_m + (static_cast<float>(lane) + 0.5f) * road.lane_width_m);
}

inline int lane_count(const RoadView& road, int direction) {
    return direction > 0 ? road.lanes_forward : road.lanes_oncoming;
}

inline LanePlace nearest_lane(const RoadView& road, float y_m) {
    const int direction = y_m > 0 && road.lanes_oncoming > 0 ? -1 : 1;
    const float from_centre = -static_cast<float>(direction) * y_m - 0.5f * road.median_width_m;
    int lane = static_cast<int>(std::floor(from_centre / road.lane_width_m));
    const int last = lane_count(road, direction) - 1;
    lane = lane < 0 ? 0 : lane > last ? last : lane;
    return {direction, lane, lane_centre_y(road, direction, lane)};
}

// y of the right edge of the rightmost lane towards +x.
inline float right_edge_y(const RoadView& road) {
    return -(0.5f * road.median_width_m + static_cast<float>(road.lanes_forward) * road.lane_width_m);
}

}  // namespace semore::driving
