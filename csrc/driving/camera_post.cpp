// Lamp posts along streets and sign gantries across highways.
#include "camera_scenery.hpp"

namespace semore::driving {

namespace {

constexpr float lamp_spacing_m = 26.0f, lamp_height_m = 5.8f, lamp_arm_m = 1.6f;
constexpr float gantry_spacing_m = 130.0f;

struct LampPost {
    float x, y, side;
};

LampPost lamp_post(const RoadView& road, int index) {
    const float side = index & 1 ? 1.0f : -1.0f;
    return {static_cast<float>(index) * lamp_spacing_m, side * (side_edge_m(road, side) + 0.6f), side};
}

// Calls visit(LampPost) for each post that may be in sight.
template <class Visit>
void for_lamp_posts(const Frame& frame, Visit visit) {
    const Reach reach = reach_of(frame.view);
    const int last = static_cast<int>(floor_of(reach.x1 / lamp_spacing_m));
    for (int i = static_cast<int>(floor_of(reach.x0 / lamp_spacing_m)); i <= last; ++i)
        visit(lamp_post(frame.scene.road, i));
}

void paint_lamp_post(const Frame& frame, const LampPost& p) {
    if (!in_sight(frame, {p.x, p.y, 3}, 5.0f)) return;
    const View& v = frame.view;
    const Vec3 foot{p.x, p.y, 0}, elbow{p.x, p.y, lamp_height_m},
        tip{p.x, p.y - p.side * lamp_arm_m, lamp_height_m + 0.25f};
    const std::int32_t metal = frame.surface(paint(96, 100, 104), normalized({-0.7f, -p.side * 0.5f, 0.3f}),
                                             {p.x, p.y, 3}, {}, ClassId::pole, 0);
    frame.raster.limb(v, v.to_camera(foot), v.to_camera(elbow), 0.17f, 0.11f, metal);
    frame.raster.limb(v, v.to_camera(elbow), v.to_camera(tip), 0.1f, 0.08f, metal);
    const Rgb glow = frame.scene.street_lights ? Rgb{3.2f, 2.5f, 1.5f} * (0.2f + frame.lighting.lamp_gain) : Rgb{};
    const std::int32_t head = frame.surface(paint(188, 190, 188), {0, 0, -1}, tip, {}, ClassId::pole, 0, glow);
    frame.raster.limb(v, v.to_camera(tip), v.to_camera(tip + Vec3{0, -p.side * 0.55f, 0}), 0.2f, 0.2f, head);
}

void paint_gantry(const Frame& frame, float x) {
    const RoadView& road = frame.scene.road;
    const float right = -(side_edge_m(road, -1) + 0.8f),
                left = road.median_width_m > 0 ? 0.0f : side_edge_m(road, 1) + 0.8f;
    const View& v = frame.view;
    const Vec3 place{x, 0.5f * (left + right), 5};
    const std::int32_t steel = frame.surface(paint(132, 136, 140), {-1, 0, 0}, place, {}, ClassId::pole, 0);
    const std::int32_t blue = frame.surface(paint(30, 84, 160), {-1, 0, 0}, place, {}, ClassId::pole, 0);
    const std::int32_t white = frame.surface(paint(232, 234, 236), {-1, 0, 0}, place, {}, ClassId::pole, 0);
    for (const float y : {left, right})
        frame.raster.limb(v, v.to_camera({x, y, 0}), v.to_camera({x, y, 6.6f}), 0.35f, 0.35f, steel);
    const auto slab = [&](float y0, float y1, float z0, float z1, float dx, std::int32_t s) {
        const Vec3 c[4] = {v.to_camera({x + dx, y0, z0}), v.to_camera({x + dx, y1, z0}), v.to_camera({x + dx, y1, z1}),
                           v.to_camera({x + dx, y0, z1})};
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

}  // namespace

void add_street_lamps(const Frame& frame) {
    if (!frame.scene.road.town || !frame.scene.street_lights) return;
    const Rgb colour = Rgb{0.60f, 0.47f, 0.28f} * frame.lighting.lamp_gain;
    for_lamp_posts(frame, [&](const LampPost& p) {
        const Vec3 head{p.x, p.y - p.side * (lamp_arm_m + 0.3f), lamp_height_m};
        frame.lamps.push_back({head, {}, colour, 9.0f, -1});
        frame.add_decal({head.x, head.y, 1, 0, 15.0f, 9.0f, 1.0f, 0, colour * 1.5f});
        const Vec3 camera = frame.view.to_camera(head);
        if (camera.x > 2) frame.add_glare(camera, 0.2f, 1.5f, Rgb{1.0f, 0.8f, 0.5f} * 0.6f);
    });
}

void paint_lamp_posts(const Frame& frame) {
    for_lamp_posts(frame, [&](const LampPost& p) { paint_lamp_post(frame, p); });
}

void paint_gantries(const Frame& frame) {
    const Reach reach = reach_of(frame.view);
    for (float x = floor_of(reach.x0 / gantry_spacing_m + 1) * gantry_spacing_m; x < reach.x1 + gantry_spacing_m;
         x += gantry_spacing_m)
        paint_gantry(frame, x);
}

}  // namespace semore::driving
