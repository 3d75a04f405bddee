// Houses with gables, windows and tiled roofs.
#include "camera_scenery.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

const Rgb plasters[] = {paint(216, 200, 172), paint(196, 186, 176), paint(206, 178, 142),
                        paint(168, 112, 90),  paint(186, 194, 198), paint(222, 214, 200)};
const Rgb roofs[] = {paint(138, 72, 54), paint(92, 82, 80), paint(112, 62, 50), paint(78, 84, 94)};

struct Box {
    float x0, x1, y0, y1;  // y0 is the face towards the road
};

std::int32_t facade_surfaces(const Frame& frame, Rgb plaster, Vec3 normal, Vec3 place, bool lit) {
    const ClassId id = ClassId::building;
    const Rgb glass_light = frame.lighting.horizon * 0.16f;
    const Rgb lamp = Rgb{0.62f, 0.46f, 0.22f} * (lit ? frame.lighting.lamp_gain : 0.0f);
    const Rgb local = lamp_light(frame.lamps, place, -1);
    const std::int32_t first = frame.surface(plaster, normal, place, local, id, 0);
    frame.surface(paint(58, 68, 80), normal, place, local, id, 0, glass_light);
    frame.surface(paint(226, 222, 212), normal, place, local, id, 0);
    frame.surface(paint(72, 80, 88), normal, place, local, id, 0, glass_light + lamp);
    frame.surface(mix(plaster, paint(70, 78, 88), 0.28f), normal, place, local, id, 0, lamp * 0.05f);
    frame.surface(plaster * 0.6f, normal, place, local, id, 0);
    return first;
}

void roof_panel(const Frame& frame, const Vec3* world, int count, std::int32_t surface) {
    WallVertex corners[4];
    for (int i = 0; i < count; ++i) {
        const Vec3 d = world[i] - world[0];
        corners[i] = {frame.view.to_camera(world[i]), world[i].x, std::sqrt(d.y * d.y + d.z * d.z)};
    }
    frame.raster.wall(frame.view, corners, count, surface, Pattern::cladding, 0);
}

void paint_roof(const Frame& frame, const Box& b, float eaves, float ridge, Rgb tiles, Rgb plaster) {
    const float yr = 0.5f * (b.y0 + b.y1), side = b.y1 > b.y0 ? 1.0f : -1.0f, over = 0.35f * side;
    const Vec3 place{0.5f * (b.x0 + b.x1), yr, ridge};
    const float rise = ridge - eaves, run = abs_of(yr - b.y0);
    const ClassId id = ClassId::building;
    const Vec3 slope = normalized({0, -side * rise, run});
    const std::int32_t tile = frame.surface(tiles, slope, place, {}, id, 0);
    frame.surface(tiles * 0.8f, slope, place, {}, id, 0);
    const float drop = 0.35f * rise / run, x0 = b.x0 - 0.3f, x1 = b.x1 + 0.3f;
    const Vec3 front[4] = {
        {x0, b.y0 - over, eaves - drop}, {x1, b.y0 - over, eaves - drop}, {x1, yr, ridge}, {x0, yr, ridge}};
    roof_panel(frame, front, 4, tile);
    for (const float x : {b.x0, b.x1}) {
        const float out = x == b.x0 ? -1.0f : 1.0f;
        if ((frame.view.origin.x - x) * out <= 0) continue;
        const std::int32_t gable = frame.surface(plaster * 0.96f, {out, 0, 0}, place, {}, id, 0);
        const View& v = frame.view;
        const Vec3 corners[3] = {v.to_camera({x, b.y0, eaves}), v.to_camera({x, b.y1, eaves}),
                                 v.to_camera({x, yr, ridge})};
        frame.raster.polygon(v, corners, 3, gable);
    }
}

}  // namespace

void paint_house(const Frame& frame, HashStream& random, float x, float side) {
    const RoadView& road = frame.scene.road;
    const float front = side * (road.fence_y_m + random.uniform(1.8f, 5.0f));
    const float length = random.uniform(8.5f, 12.5f), depth = random.uniform(7.5f, 10.0f);
    const int storeys = 1 + random.below(3);
    const Box b{x, x + length, front, front + side * depth};
    const float eaves = 0.45f + 3.0f * static_cast<float>(storeys), ridge = eaves + random.uniform(2.0f, 3.4f);
    const Rgb plaster = plasters[random.below(6)], tiles = roofs[random.below(4)];
    const std::uint32_t seed = random.bits();
    const Vec3 place{x + 0.5f * length, front, 0.5f * eaves};
    if (!in_sight(frame, {place.x, front + side * 0.5f * depth, eaves * 0.5f}, 0.6f * (length + depth))) return;
    const Vec3 eye = frame.view.origin;
    const bool lit = frame.lighting.lamp_gain > 0.3f;
    if ((eye.y - front) * side < 0)
        wall_between(frame, b.x0, front, b.x1, front, 0, eaves,
                     facade_surfaces(frame, plaster, {0, -side, 0}, place, lit), Pattern::facade, seed);
    if (eye.x < b.x0)
        wall_between(frame, b.x0, b.y0, b.x0, b.y1, 0, eaves, facade_surfaces(frame, plaster, {-1, 0, 0}, place, lit),
                     Pattern::facade, seed + 77u);
    if (eye.x > b.x1)
        wall_between(frame, b.x1, b.y0, b.x1, b.y1, 0, eaves, facade_surfaces(frame, plaster, {1, 0, 0}, place, lit),
                     Pattern::facade, seed + 99u);
    paint_roof(frame, b, eaves, ridge, tiles, plaster);
}

}  // namespace semore::driving
