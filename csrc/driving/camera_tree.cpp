// Trees: a trunk and a crown of overlapping leafy blobs.
#include "camera_scenery.hpp"

namespace semore::driving {

namespace {

const Rgb leaves[] = {paint(66, 104, 44), paint(88, 118, 48), paint(52, 92, 52), paint(104, 116, 44)};

std::int32_t leaf_surfaces(const Frame& frame, Rgb leaf, Vec3 place) {
    const Lighting& l = frame.lighting;
    const Rgb shade = mix(l.ambient_down, l.ambient_up, 0.4f), bright = shade + l.sun * 0.9f;
    const Rgb local = lamp_light(frame.lamps, place, -1);
    std::int32_t first = 0;
    for (int i = 0; i < 4; ++i) {
        const float t = static_cast<float>(i) * (1.0f / 3);
        const Rgb albedo = leaf * (0.55f + 0.5f * t);
        const std::int32_t s =
            frame.raster.add_surface(albedo * (mix(shade, bright, t) + local), albedo * 0.7f, ClassId::vegetation, 0);
        if (i == 0) first = s;
    }
    return first;
}

}  // namespace

void paint_tree(const Frame& frame, HashStream& random, float x, float y) {
    const float height = random.uniform(5.0f, 8.5f), spread = random.uniform(1.5f, 2.3f);
    const Rgb leaf = leaves[random.below(4)];
    const std::uint32_t seed = random.bits();
    if (!in_sight(frame, {x, y, 0.5f * height}, 0.7f * height)) return;
    const View& v = frame.view;
    const Vec3 camera = v.to_camera({x, y, 0});
    const Vec3 sun = frame.lighting.to_sun;
    const std::int32_t bark =
        frame.surface(paint(92, 72, 54), normalized({-0.8f, 0, 0.2f}), {x, y, 1}, {}, ClassId::vegetation, 0);
    frame.raster.limb(v, camera, v.to_camera({x, y, 0.6f * height}), 0.34f, 0.2f, bark);
    const std::int32_t crown = leaf_surfaces(frame, leaf, {x, y, 0.7f * height});
    const float lx = -dot(sun, v.left), ly = -dot(sun, v.up);
    const bool near = camera.x < 60.0f;
    const auto puff = [&](float dx, float dy, float z, float size, std::uint32_t salt) {
        frame.raster.blob(v, v.to_camera({x + dx, y + dy, z}), spread * size, spread * size * 0.92f, crown, lx, ly,
                          near ? 1.0f : 0.6f, seed + salt);
    };
    puff(0, 0, 0.72f * height, near ? 1.15f : 1.3f, 0);
    if (!near) return;
    puff(-0.3f, 0.65f * spread, 0.60f * height, 0.8f, 911u);
    puff(-0.3f, -0.65f * spread, 0.62f * height, 0.78f, 2822u);
    puff(-0.1f, 0.1f * spread, 0.90f * height, 0.75f, 37733u);
}

}  // namespace semore::driving
