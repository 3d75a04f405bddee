// What stands beside the endless road, chosen block by block from the scenery seed.
#include "camera_scenery.hpp"

namespace semore::driving {

namespace {

constexpr float block_m = 15.0f;

void paint_block(const Frame& frame, int block, float side) {
    const RoadView& road = frame.scene.road;
    HashStream random(frame.scene.scenery_seed, block, side > 0 ? 11u : 22u);
    const float x = static_cast<float>(block) * block_m;
    if (road.town) {
        const float kind = random.uniform(0, 1), gap = random.uniform(0.0f, 2.0f);
        if (kind < 0.78f)
            paint_house(frame, random, x + gap, side);
        else
            paint_tree(frame, random, x + 6, side * (road.fence_y_m + 4));
        if (random.uniform(0, 1) < 0.6f)
            paint_tree(frame, random, x + random.uniform(1.0f, 13.0f), side * (road.fence_y_m + 1.0f));
        return;
    }
    const int trees = random.below(3);
    for (int i = 0; i < trees; ++i)
        paint_tree(frame, random, x + random.uniform(0.0f, 14.0f),
                   side * (road.fence_y_m + random.uniform(3.0f, 22.0f)));
}

}  // namespace

void wall_between(const Frame& frame, float xa, float ya, float xb, float yb, float z0, float z1, std::int32_t surface,
                  Pattern pattern, std::uint32_t seed) {
    const View& v = frame.view;
    const float dx = xb - xa, dy = yb - ya, length = std::sqrt(dx * dx + dy * dy);
    const WallVertex corners[4] = {{v.to_camera({xa, ya, z0}), 0, 0},
                                   {v.to_camera({xb, yb, z0}), length, 0},
                                   {v.to_camera({xb, yb, z1}), length, z1 - z0},
                                   {v.to_camera({xa, ya, z1}), 0, z1 - z0}};
    frame.raster.wall(v, corners, 4, surface, pattern, seed);
}

void paint_scenery(const Frame& frame) {
    for (const float side : {-1.0f, 1.0f}) paint_fence(frame, side);
    paint_barrier(frame);
    if (frame.scene.road.town)
        paint_lamp_posts(frame);
    else
        paint_gantries(frame);
    const Reach reach = reach_of(frame.view);
    const int last = static_cast<int>(floor_of(reach.x1 / block_m));
    for (int block = static_cast<int>(floor_of(reach.x0 / block_m)); block <= last; ++block)
        for (const float side : {-1.0f, 1.0f}) paint_block(frame, block, side);
}

}  // namespace semore::driving
