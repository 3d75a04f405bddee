// Houses, trees, fences, posts and gantries, chosen block by block along the endless road from the scenery seed.
#include "camera_frame.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

constexpr float block_m = 15.0f;
constexpr float sight_m = 190.0f;
constexpr float behind_m = 24.0f;
constexpr float lamp_spacing_m = 26.0f, lamp_height_m = 5.8f, lamp_arm_m = 1.6f;
constexpr float gantry_spacing_m = 130.0f;

const Rgb plasters[] = {paint(216, 200, 172), paint(196, 186, 176), paint(206, 178, 142), paint(168, 112, 90), paint(186, 194, 198), paint(222, 214, 200)};
const Rgb roofs[] = {paint(138, 72, 54), paint(92, 82, 80), paint(112, 62, 50), paint(78, 84, 94)};
const Rgb leaves[] = {paint(66, 104, 44), paint(88, 118, 48), paint(52, 92, 52), paint(104, 116, 44)};

float side_edge_m(const RoadView& road, float side) {
    const float lanes = static_cast<float>(side > 0 ? road.lanes_oncoming : road.lanes_forward);
    return 0.5f * road.median_width_m + lanes * road.lane_width_m + road.shoulder_width_m;
}

bool in_sight(const Frame& frame, Vec3 place, float radius_m) {
    const Vec3 c = frame.view.to_camera(place);
    return c.x > -radius_m && abs_of(c.y) < c.x * frame.view.centre_px / frame.view.focal_px + 1.3f * radius_m;
}

struct Box {
    float x0, x1, y0, y1;  // y0 is the face towards the road
};

void wall_between(const Frame& frame, float xa, float ya, float xb, float yb, float z0, float z1, std::int32_t surface, Pattern pattern, std::uint32_t seed) {
    const View& v = frame.view;
    const float dx = xb - xa, dy = yb - ya, length = std::sqrt(dx * dx + dy * dy);
    const WallVertex corners[4] = {{v.to_camera({xa, ya, z0}), 0, 0}, {v.to_camera({xb, yb, z0}), length, 0},
                                   {v.to_camera({xb, yb, z1}), length, z1 - z0}, {v.to_camera({xa, ya, z1}), 0, z1 - z0}};
    frame.raster.wall(v, corners, 4, surface, pattern, seed);
}

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
    const Vec3 front[4] = {{x0, b.y0 - over, eaves - drop}, {x1, b.y0 - over, eaves - drop}, {x1, yr, ridge}, {x0, yr, ridge}};
    roof_panel(frame, front, 4, tile);
    for (const float x : {b.x0, b.x1}) {
        const float out = x == b.x0 ? -1.0f : 1.0f;
        if ((frame.view.origin.x - x) * out <= 0) continue;
        const std::int32_t gable = frame.surface(plaster * 0.96f, {out, 0, 0}, place, {}, id, 0);
        const View& v = frame.view;
        const Vec3 corners[3] = {v.to_camera({x, b.y0, eaves}), v.to_camera({x, b.y1, eaves}), v.to_camera({x, yr, ridge})};
        frame.raster.polygon(v, corners, 3, gable);
    }
}

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
        wall_between(frame, b.x0, front, b.x1, front, 0, eaves, facade_surfaces(frame, plaster, {0, -side, 0}, place, lit), Pattern::facade, seed);
    if (eye.x < b.x0)
        wall_between(frame, b.x0, b.y0, b.x0, b.y1, 0, eaves, facade_surfaces(frame, plaster, {-1, 0, 0}, place, lit), Pattern::facade, seed + 77u);
    if (eye.x > b.x1)
        wall_between(frame, b.x1, b.y0, b.x1, b.y1, 0, eaves, facade_surfaces(frame, plaster, {1, 0, 0}, place, lit), Pattern::facade, seed + 99u);
    paint_roof(frame, b, eaves, ridge, tiles, plaster);
}

std::int32_t leaf_surfaces(const Frame& frame, Rgb leaf, Vec3 place) {
    const Lighting& l = frame.lighting;
    const Rgb shade = mix(l.ambient_down, l.ambient_up, 0.4f), bright = shade + l.sun * 0.9f;
    const Rgb local = lamp_light(frame.lamps, place, -1);
    std::int32_t first = 0;
    for (int i = 0; i < 4; ++i) {
        const float t = static_cast<float>(i) * (1.0f / 3);
        const Rgb albedo = leaf * (0.55f + 0.5f * t);
        const std::int32_t s = frame.raster.add_surface(albedo * (mix(shade, bright, t) + local), albedo * 0.7f, ClassId::vegetation, 0);
        if (i == 0) first = s;
    }
    return first;
}

void paint_tree(const Frame& frame, HashStream& random, float x, float y) {
    const float height = random.uniform(5.0f, 8.5f), spread = random.uniform(1.5f, 2.3f);
    const Rgb leaf = leaves[random.below(4)];
    const std::uint32_t seed = random.bits();
    if (!in_sight(frame, {x, y, 0.5f * height}, 0.7f * height)) return;
    const View& v = frame.view;
    const Vec3 camera = v.to_camera({x, y, 0});
    const Vec3 sun = frame.lighting.to_sun;
    const std::int32_t bark = frame.surface(paint(92, 72, 54), normalized({-0.8f, 0, 0.2f}), {x, y, 1}, {}, ClassId::vegetation, 0);
    frame.raster.limb(v, camera, v.to_camera({x, y, 0.6f * height}), 0.34f, 0.2f, bark);
    const std::int32_t crown = leaf_surfaces(frame, leaf, {x, y, 0.7f * height});
    const float lx = -dot(sun, v.left), ly = -dot(sun, v.up);
    const bool near = camera.x < 60.0f;
    const auto puff = [&](float dx, float dy, float z, float size, std::uint32_t salt) {
        frame.raster.blob(v, v.to_camera({x + dx, y + dy, z}), spread * size, spread * size * 0.92f, crown, lx, ly, near ? 1.0f : 0.6f, seed + salt);
    };
    puff(0, 0, 0.72f * height, near ? 1.15f : 1.3f, 0);
    if (!near) return;
    puff(-0.3f, 0.65f * spread, 0.60f * height, 0.8f, 911u);
    puff(-0.3f, -0.65f * spread, 0.62f * height, 0.78f, 2822u);
    puff(-0.1f, 0.1f * spread, 0.90f * height, 0.75f, 37733u);
}

void paint_fence(const Frame& frame, float side) {
    const RoadView& road = frame.scene.road;
    const float y = side * road.fence_y_m, x0 = floor_of((frame.view.origin.x - behind_m) / block_m) * block_m;
    const Vec3 normal{-0.3f, -side, 0.1f}, place{frame.view.origin.x + 10, y, 0.5f};
    const ClassId id = ClassId::fence;
    const Rgb local = {};
    if (road.town) {
        const std::int32_t first = frame.surface(paint(150, 118, 84), normalized(normal), place, local, id, 0);
        frame.surface(paint(92, 70, 50), normalized(normal), place, local, id, 0);
        frame.surface(paint(176, 146, 110), normalized(normal), place, local, id, 0);
        wall_between(frame, x0, y, x0 + sight_m, y, 0, 1.05f, first, Pattern::pickets, 0);
        return;
    }
    const std::int32_t first = frame.surface(paint(172, 176, 178), normalized(normal), place, local, id, 0);
    frame.surface(paint(120, 124, 128), normalized(normal), place, local, id, 0);
    frame.surface(paint(208, 212, 214), normalized(normal), place, local, id, 0);
    wall_between(frame, x0, y, x0 + sight_m, y, 0.45f, 0.77f, first, Pattern::rail, 0);
    const std::int32_t post = frame.surface(paint(112, 114, 116), {-1, 0, 0}, place, local, id, 0);
    for (float x = x0; x < x0 + 60.0f; x += 3.75f)
        frame.raster.limb(frame.view, frame.view.to_camera({x, y + side * 0.1f, 0}), frame.view.to_camera({x, y + side * 0.1f, 0.7f}), 0.12f, 0.12f, post);
}

void paint_barrier(const Frame& frame) {
    const float half = 0.5f * frame.scene.road.median_width_m;
    if (half <= 0) return;
    const float width = std::min(half * 0.6f, 0.3f), x0 = frame.view.origin.x - behind_m;
    const float side = frame.view.origin.y > 0 ? 1.0f : -1.0f;
    const Vec3 place{frame.view.origin.x + 12, 0, 0.4f};
    const std::int32_t face = frame.surface(paint(208, 205, 196), normalized({-0.35f, side, 0.7f}), place, {}, ClassId::fence, 0);
    const std::int32_t top = frame.surface(paint(196, 194, 188), {0, 0, 1}, place, {}, ClassId::fence, 0);
    wall_between(frame, x0, side * width, x0 + sight_m, side * width, 0, 0.85f, face, Pattern::flat, 0);
    const View& v = frame.view;
    const Vec3 lid[4] = {v.to_camera({x0, -width, 0.85f}), v.to_camera({x0, width, 0.85f}), v.to_camera({x0 + sight_m, width, 0.85f}), v.to_camera({x0 + sight_m, -width, 0.85f})};
    frame.raster.polygon(v, lid, 4, top);
}

struct LampPost {
    float x, y, side;
};

LampPost lamp_post(const RoadView& road, int index) {
    const float side = index & 1 ? 1.0f : -1.0f;
    return {static_cast<float>(index) * lamp_spacing_m, side * (side_edge_m(road, side) + 0.6f), side};
}

int first_lamp(const Frame& frame) { return static_cast<int>(floor_of((frame.view.origin.x - behind_m) / lamp_spacing_m)); }
int lamp_count() { return static_cast<int>((sight_m + behind_m) / lamp_spacing_m); }

void paint_lamp_post(const Frame& frame, const LampPost& p) {
    if (!in_sight(frame, {p.x, p.y, 3}, 5.0f)) return;
    const View& v = frame.view;
    const Vec3 foot{p.x, p.y, 0}, elbow{p.x, p.y, lamp_height_m}, tip{p.x, p.y - p.side * lamp_arm_m, lamp_height_m + 0.25f};
    const std::int32_t metal = frame.surface(paint(96, 100, 104), normalized({-0.7f, -p.side * 0.5f, 0.3f}), {p.x, p.y, 3}, {}, ClassId::pole, 0);
    frame.raster.limb(v, v.to_camera(foot), v.to_camera(elbow), 0.17f, 0.11f, metal);
    frame.raster.limb(v, v.to_camera(elbow), v.to_camera(tip), 0.1f, 0.08f, metal);
    const Rgb glow = frame.scene.street_lights ? Rgb{3.2f, 2.5f, 1.5f} * (0.2f + frame.lighting.lamp_gain) : Rgb{};
    const std::int32_t head = frame.surface(paint(188, 190, 188), {0, 0, -1}, tip, {}, ClassId::pole, 0, glow);
    frame.raster.limb(v, v.to_camera(tip), v.to_camera(tip + Vec3{0, -p.side * 0.55f, 0}), 0.2f, 0.2f, head);
}

void paint_gantry(const Frame& frame, float x) {
    const RoadView& road = frame.scene.road;
    const float right = -(side_edge_m(road, -1) + 0.8f), left = road.median_width_m > 0 ? 0.0f : side_edge_m(road, 1) + 0.8f;
    if (x < frame.view.origin.x + 1) return;
    const View& v = frame.view;
    const Vec3 place{x, 0.5f * (left + right), 5};
    const std::int32_t steel = frame.surface(paint(132, 136, 140), {-1, 0, 0}, place, {}, ClassId::pole, 0);
    const std::int32_t blue = frame.surface(paint(30, 84, 160), {-1, 0, 0}, place, {}, ClassId::pole, 0);
    const std::int32_t white = frame.surface(paint(232, 234, 236), {-1, 0, 0}, place, {}, ClassId::pole, 0);
    for (const float y : {left, right}) frame.raster.limb(v, v.to_camera({x, y, 0}), v.to_camera({x, y, 6.6f}), 0.35f, 0.35f, steel);
    const auto slab = [&](float y0, float y1, float z0, float z1, float dx, std::int32_t s) {
        const Vec3 c[4] = {v.to_camera({x + dx, y0, z0}), v.to_camera({x + dx, y1, z0}), v.to_camera({x + dx, y1, z1}), v.to_camera({x + dx, y0, z1})};
        frame.raster.polygon(v, c, 4, s);
    };
    slab(right, left, 6.3f, 6.6f, 0, steel);
    for (int i = 0; i < 2; ++i) {
        const float y = mix(right, left, 0.28f + 0.44f * static_cast<float>(i));
        slab(y - 2.3f, y + 2.3f, 5.3f, 7.3f, -0.15f, white);
        slab(y - 2.2f, y + 2.2f, 5.4f, 7.2f, -0.2f, blue);
        slab(y - 1.6f, y + 1.2f, 6.5f, 6.75f, -0.3f, white);
        slab(y - 1.6f, y + 0.4f, 5.9f, 6.15f, -0.3f, white);
    }
}

void paint_block(const Frame& frame, int block, float side) {
    const RoadView& road = frame.scene.road;
    HashStream random(frame.scene.scenery_seed, block, side > 0 ? 11u : 22u);
    const float x = static_cast<float>(block) * block_m;
    if (road.town) {
        const float kind = random.uniform(0, 1), gap = random.uniform(0.0f, 2.0f);
        if (kind < 0.78f) paint_house(frame, random, x + gap, side);
        else paint_tree(frame, random, x + 6, side * (road.fence_y_m + 4));
        if (random.uniform(0, 1) < 0.6f) paint_tree(frame, random, x + random.uniform(1.0f, 13.0f), side * (road.fence_y_m + 1.0f));
        return;
    }
    const int trees = random.below(3);
    for (int i = 0; i < trees; ++i) paint_tree(frame, random, x + random.uniform(0.0f, 14.0f), side * (road.fence_y_m + random.uniform(3.0f, 22.0f)));
}

}  // namespace

void add_street_lamps(const Frame& frame) {
    if (!frame.scene.road.town || !frame.scene.street_lights) return;
    const int first = first_lamp(frame);
    const Rgb colour = Rgb{0.60f, 0.47f, 0.28f} * frame.lighting.lamp_gain;
    for (int i = first; i <= first + lamp_count(); ++i) {
        const LampPost p = lamp_post(frame.scene.road, i);
        const Vec3 head{p.x, p.y - p.side * (lamp_arm_m + 0.3f), lamp_height_m};
        frame.lamps.push_back({head, {}, colour, 9.0f, -1});
        frame.add_decal({head.x, head.y, 1, 0, 15.0f, 9.0f, 1.0f, 0, colour * 1.5f});
        const Vec3 camera = frame.view.to_camera(head);
        if (camera.x < 2 || camera.x > 140) continue;
        frame.add_glare(camera, 0.2f, 1.5f, Rgb{1.0f, 0.8f, 0.5f} * 0.6f);
    }
}

void paint_scenery(const Frame& frame) {
    const RoadView& road = frame.scene.road;
    const float x = frame.view.origin.x;
    for (const float side : {-1.0f, 1.0f}) paint_fence(frame, side);
    paint_barrier(frame);
    const int first = static_cast<int>(floor_of((x - behind_m) / block_m)), last = static_cast<int>(floor_of((x + sight_m) / block_m));
    if (road.town) {
        for (int i = first_lamp(frame); i <= first_lamp(frame) + lamp_count(); ++i) paint_lamp_post(frame, lamp_post(road, i));
    } else {
        const float next = floor_of(x / gantry_spacing_m) * gantry_spacing_m;
        for (int i = 0; i < 3; ++i) paint_gantry(frame, next + gantry_spacing_m * static_cast<float>(i));
    }
    for (int block = first; block <= last; ++block)
        for (const float side : {-1.0f, 1.0f}) paint_block(frame, block, side);
}

}  // namespace semore::driving
