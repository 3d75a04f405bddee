// Lamps of vehicles and streets: what they light and how they dazzle.
#include "camera_frame.hpp"
#include "camera_vehicle_model.hpp"

namespace semore::driving {

namespace {

constexpr float street_lamp_spacing_m = 26.0f, street_lamp_height_m = 5.6f;

bool is_vehicle(const ActorView& a) { return a.kind != ActorKind::cyclist && a.kind != ActorKind::pedestrian; }

// A lamp facing away from the camera does not dazzle; one aimed at it does so fully.
void add_glare(const Frame& frame, Vec3 place, Vec3 direction, Rgb colour, float core_m, float least_core_px, float reach) {
    const Vec3 camera = frame.view.to_camera(place);
    if (camera.x < 1.0f) return;
    const Vec3 to_camera = normalized(frame.view.origin - place);
    const float facing = dot(to_camera, direction);
    if (facing <= 0.05f) return;
    const ScreenPoint p = project(frame.view, camera);
    const float size = static_cast<float>(frame.view.size), scale = size * (1.0f / 128);
    if (p.x < -0.2f * size || p.x > 1.2f * size || p.y < -0.2f * size || p.y > 1.2f * size) return;
    const float core = (frame.pixels(core_m, camera.x) > least_core_px * scale ? frame.pixels(core_m, camera.x) : least_core_px * scale);
    frame.glares.push_back({p.x, p.y, camera.x, core, core * reach, colour * (facing * facing * frame.lighting.halo_gain)});
}

struct HeadLamps {
    Rgb colour;
    float reach_m, patch_length_m, glare_core_px, glare_reach;
    Rgb glare;
};

HeadLamps head_lamps(bool high) {
    if (high) return {{0.9f, 0.88f, 0.8f}, 30.0f, 15.0f, 2.4f, 26.0f, {3.4f, 3.4f, 3.3f}};
    return {{0.5f, 0.48f, 0.42f}, 14.0f, 9.0f, 1.1f, 9.0f, {1.3f, 1.25f, 1.1f}};
}

}  // namespace

void add_actor_lamps(const Frame& frame, const ActorView& actor, int index) {
    if (!is_vehicle(actor)) return;
    const float gain = frame.lighting.lamp_gain;
    const SinCos yaw = sin_cos(actor.yaw_rad);
    const Vec3 ahead{yaw.cos, yaw.sin, 0}, left{-yaw.sin, yaw.cos, 0}, centre{actor.x_m, actor.y_m, actor.z_m};
    const VehicleModel& model = vehicle_model(actor.kind);
    const auto at = [&](LampPlace p, float side) {
        return centre + ahead * (p.x * actor.length_m) + left * (side * p.y * actor.width_m) + Vec3{0, 0, p.z * actor.height_m};
    };
    const bool high = (actor.lights & lights_high_beam) != 0;
    if (high || (actor.lights & lights_low_beam) != 0) {
        const HeadLamps h = head_lamps(high);
        for (const float side : {-1.0f, 1.0f}) add_glare(frame, at(model.head, side), ahead, h.glare, 0.1f, h.glare_core_px, h.glare_reach);
        const Vec3 nose = at({model.head.x, 0, model.head.z}, 1.0f);
        frame.lamps.push_back({nose, ahead, h.colour * gain, h.reach_m, index});
        const Vec3 patch = nose + ahead * (0.75f * h.patch_length_m);
        frame.add_decal({patch.x, patch.y, ahead.x, ahead.y, h.patch_length_m, 2.8f, 1.0f, 0, h.colour * (1.6f * gain)});
    }
    const bool brake = (actor.lights & lights_brake) != 0;
    if (brake || (actor.lights & lights_tail) != 0) {
        const Rgb red = Rgb{1.0f, 0.07f, 0.05f} * (brake ? 1.1f : 0.4f);
        for (const float side : {-1.0f, 1.0f}) add_glare(frame, at(model.tail, side), ahead * -1.0f, red, 0.09f, brake ? 1.0f : 0.7f, 7.0f);
    }
    if (actor.lights & lights_beacon) {
        const double turn = frame.scene.time_s * 2.0;
        const bool blue = turn - static_cast<double>(static_cast<long long>(turn)) >= 0.5;
        const Vec3 bar = at({-0.1f, blue ? 0.2f : -0.2f, 1.0f}, 1.0f);
        add_glare(frame, bar, normalized(frame.view.origin - bar), blue ? Rgb{0.15f, 0.3f, 2.2f} : Rgb{1.9f, 0.1f, 0.08f}, 0.15f, 1.4f, 9.0f);
    }
}

}  // namespace semore::driving
