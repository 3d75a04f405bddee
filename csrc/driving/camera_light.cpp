#include "camera_light.hpp"

namespace semore::driving {

namespace {

Lighting day() {
    Lighting l{};
    l.ambient_up = {0.40f, 0.44f, 0.52f}, l.ambient_down = {0.24f, 0.23f, 0.21f};
    l.sun = {0.85f, 0.79f, 0.68f}, l.to_sun = normalized({-0.45f, 0.50f, 0.74f});
    l.zenith = paint(70, 128, 205), l.horizon = paint(190, 214, 235), l.cloud = paint(246, 248, 250);
    l.cloudiness = 0.45f, l.fog = paint(192, 212, 230), l.fog_per_m = 0.0022f;
    l.lamp_gain = 0.10f, l.halo_gain = 0.08f;
    return l;
}

Lighting dusk() {
    Lighting l{};
    l.ambient_up = {0.36f, 0.35f, 0.43f}, l.ambient_down = {0.22f, 0.20f, 0.20f};
    l.sun = {0.78f, 0.52f, 0.31f}, l.to_sun = normalized({-0.66f, 0.64f, 0.38f});
    l.zenith = paint(58, 80, 136), l.horizon = paint(244, 176, 122), l.cloud = paint(216, 144, 130);
    l.cloudiness = 0.6f, l.fog = paint(196, 152, 130), l.fog_per_m = 0.0032f;
    l.lamp_gain = 0.45f, l.halo_gain = 0.3f;
    return l;
}

Lighting midnight() {
    Lighting l{};
    l.ambient_up = {0.026f, 0.031f, 0.048f}, l.ambient_down = {0.016f, 0.018f, 0.026f};
    l.sun = {0.014f, 0.017f, 0.026f}, l.to_sun = normalized({-0.3f, 0.4f, 0.85f});
    l.zenith = {0.008f, 0.011f, 0.024f}, l.horizon = {0.024f, 0.029f, 0.048f}, l.cloud = {0.03f, 0.034f, 0.05f};
    l.cloudiness = 0.3f, l.fog = {0.018f, 0.022f, 0.036f}, l.fog_per_m = 0.006f;
    l.lamp_gain = 1.0f, l.halo_gain = 1.0f;
    return l;
}

Lighting rain() {
    Lighting l{};
    l.ambient_up = {0.40f, 0.43f, 0.47f}, l.ambient_down = {0.22f, 0.23f, 0.25f};
    l.sun = {}, l.to_sun = {0, 0, 1};
    l.zenith = paint(104, 112, 122), l.horizon = paint(150, 158, 165), l.cloud = paint(128, 135, 143);
    l.cloudiness = 0.9f, l.fog = paint(148, 156, 163), l.fog_per_m = 0.010f;
    l.wetness = 0.75f, l.lamp_gain = 0.45f, l.halo_gain = 0.4f, l.rain = 1.0f;
    return l;
}

Lighting fog() {
    Lighting l{};
    l.ambient_up = {0.52f, 0.53f, 0.55f}, l.ambient_down = {0.30f, 0.30f, 0.31f};
    l.sun = {}, l.to_sun = {0, 0, 1};
    l.zenith = paint(186, 190, 194), l.horizon = paint(198, 202, 205), l.cloud = paint(196, 200, 203);
    l.cloudiness = 0.2f, l.fog = paint(198, 202, 205), l.fog_per_m = 0.030f;
    l.wetness = 0.15f, l.lamp_gain = 0.4f, l.halo_gain = 0.9f;
    return l;
}

}  // namespace

const Lighting& lighting_of(Weather weather) {
    static const Lighting table[] = {day(), dusk(), midnight(), rain(), fog()};
    return table[static_cast<int>(weather)];
}

Rgb lamp_light(const std::vector<Lamp>& lamps, Vec3 point, int actor) {
    Rgb sum;
    for (const Lamp& lamp : lamps) {
        if (lamp.owner >= 0 && lamp.owner == actor) continue;
        const Vec3 to = point - lamp.position;
        const float distance2 = dot(to, to), reach2 = lamp.reach_m * lamp.reach_m;
        if (distance2 > 16 * reach2) continue;
        float share = reach2 / (reach2 + 3 * distance2);
        if (dot(lamp.direction, lamp.direction) > 0) {
            const float cosine = dot(to, lamp.direction) / std::sqrt(distance2 + 1e-6f);
            share *= clamp((cosine - 0.88f) * 10.0f, 0.0f, 1.0f);
        }
        sum = sum + lamp.colour * share;
    }
    return sum;
}

EgoBeam ego_beam(const SceneView& scene, const Lighting& lighting) {
    EgoBeam beam;
    const bool high = (scene.ego_lights & lights_high_beam) != 0;
    beam.on = high || (scene.ego_lights & lights_low_beam) != 0;
    beam.gain = lighting.lamp_gain * (high ? 1.5f : 0.95f);
    beam.cutoff_slope = high ? 0.2f : 0.01f;
    beam.above_cutoff = high ? 0.6f : 0.36f;  // more than the norm allows: drivers must see whom they could hit
    const SinCos yaw = sin_cos(scene.ego_yaw_rad);
    beam.forward = {yaw.cos, yaw.sin, 0}, beam.left = {-yaw.sin, yaw.cos, 0};
    // Headlamps of a saloon: 2.2 m ahead of its centre, 0.65 m up.
    beam.origin = Vec3{scene.ego_x_m, scene.ego_y_m, 0.65f} + beam.forward * 2.2f;
    return beam;
}

}  // namespace semore::driving
