// Fences, guard rails and the barrier between carriageways.
#include "camera_scenery.hpp"

#include <algorithm>

namespace semore::driving {

void paint_fence(const Frame& frame, float side) {
    const RoadView& road = frame.scene.road;
    const Reach reach = reach_of(frame.view);
    const float y = side * road.fence_y_m, x0 = floor_of(reach.x0 / 15.0f) * 15.0f;
    const Vec3 normal{-0.3f, -side, 0.1f}, place{frame.view.origin.x + 10, y, 0.5f};
    const ClassId id = ClassId::fence;
    const Rgb local = {};
    if (road.town) {
        const std::int32_t first = frame.surface(paint(150, 118, 84), normalized(normal), place, local, id, 0);
        frame.surface(paint(92, 70, 50), normalized(normal), place, local, id, 0);
        frame.surface(paint(176, 146, 110), normalized(normal), place, local, id, 0);
        wall_between(frame, x0, y, reach.x1, y, 0, 1.05f, first, Pattern::pickets, 0);
        return;
    }
    const std::int32_t first = frame.surface(paint(172, 176, 178), normalized(normal), place, local, id, 0);
    frame.surface(paint(120, 124, 128), normalized(normal), place, local, id, 0);
    frame.surface(paint(208, 212, 214), normalized(normal), place, local, id, 0);
    wall_between(frame, x0, y, reach.x1, y, 0.45f, 0.77f, first, Pattern::rail, 0);
    const std::int32_t post = frame.surface(paint(112, 114, 116), {-1, 0, 0}, place, local, id, 0);
    for (float x = std::max(x0, frame.view.origin.x - 60.0f); x < std::min(reach.x1, frame.view.origin.x + 60.0f);
         x += 3.75f)
        frame.raster.limb(frame.view, frame.view.to_camera({x, y + side * 0.1f, 0}),
                          frame.view.to_camera({x, y + side * 0.1f, 0.7f}), 0.12f, 0.12f, post);
}

void paint_barrier(const Frame& frame) {
    const float half = 0.5f * frame.scene.road.median_width_m;
    if (half <= 0) return;
    const Reach reach = reach_of(frame.view);
    const float width = std::min(half * 0.6f, 0.3f), x0 = reach.x0, x1 = reach.x1;
    const float side = frame.view.origin.y > 0 ? 1.0f : -1.0f;
    const Vec3 place{frame.view.origin.x + 12, 0, 0.4f};
    const std::int32_t face =
        frame.surface(paint(208, 205, 196), normalized({-0.35f, side, 0.7f}), place, {}, ClassId::fence, 0);
    const std::int32_t top = frame.surface(paint(196, 194, 188), {0, 0, 1}, place, {}, ClassId::fence, 0);
    wall_between(frame, x0, side * width, x1, side * width, 0, 0.85f, face, Pattern::flat, 0);
    const View& v = frame.view;
    const Vec3 lid[4] = {v.to_camera({x0, -width, 0.85f}), v.to_camera({x0, width, 0.85f}),
                         v.to_camera({x1, width, 0.85f}), v.to_camera({x1, -width, 0.85f})};
    frame.raster.polygon(v, lid, 4, top);
}

}  // namespace semore::driving
