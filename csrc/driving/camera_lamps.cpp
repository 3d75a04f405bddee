// Lamps of vehicles and streets: what they light and how they dazzle.
#include "camera_frame.hpp"
#include "camera_vehicle_model.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

// Scatter falls as the inverse square of the angle; below this share of white it is not drawn.
constexpr float least_scatter = 0.0035f;

bool is_vehicle(const ActorView& a) { return a.kind != ActorKind::cyclist && a.kind != ActorKind::pedestrian; }

// A lamp facing away from the camera does not dazzle; one aimed at it does so fully, and less from afar.
void add_aimed_glare(const Frame& frame, Vec3 place, Vec3 direction, Rgb colour, float core_m, float core_px) {
    const Vec3 camera = frame.view.to_camera(place);
    const float facing = dot(normalized(frame.view.origin - place), direction);
    if (camera.x < 1.0f || facing <= 0.05f) return;
    frame.add_glare(camera, core_m, core_px,
                    colour * (facing * facing / (1 + camera.x * camera.x * (1.0f / (50 * 50)))));
}

struct HeadLamps {
    Rgb colour;
    float reach_m, patch_length_m, glare_core_px;
    Rgb glare;
};

HeadLamps head_lamps(bool high) {
    if (high) return {{0.9f, 0.88f, 0.8f}, 30.0f, 15.0f, 1.7f, {3.4f, 3.4f, 3.3f}};
    return {{0.5f, 0.48f, 0.42f}, 14.0f, 9.0f, 0.9f, {1.2f, 1.15f, 1.0f}};
}

}  // namespace

void Frame::add_glare(Vec3 camera, float core_m, float core_px, Rgb colour) const {
    const float size = static_cast<float>(view.size);
    const float core = std::max(pixels(core_m, camera.x), core_px * size * (1.0f / 128));
    const Rgb light = colour * lighting.halo_gain;
    const float peak = std::max(light.r, std::max(light.g, light.b));
    if (peak <= least_scatter) return;
    const float radius = core * std::sqrt(peak / least_scatter - 1);
    const ScreenPoint p = project(view, camera);
    if (p.x < -radius || p.x > size + radius || p.y < -radius || p.y > size + radius) return;
    glares.push_back({p.x, p.y, camera.x, core, radius, light});
}

void add_actor_lamps(const Frame& frame, const ActorView& actor, int index) {
    if (!is_vehicle(actor)) return;
    const float gain = frame.lighting.lamp_gain;
    const SinCos yaw = sin_cos(actor.yaw_rad);
    const Vec3 ahead{yaw.cos, yaw.sin, 0}, left{-yaw.sin, yaw.cos, 0}, centre{actor.x_m, actor.y_m, actor.z_m};
    const VehicleModel& model = vehicle_model(actor.kind);
    const auto at = [&](LampPlace p, float side) {
        return centre + ahead * (p.x * actor.length_m) + left * (side * p.y * actor.width_m) +
               Vec3{0, 0, p.z * actor.height_m};
    };
    const bool high = (actor.lights & lights_high_beam) != 0;
    if (high || (actor.lights & lights_low_beam) != 0) {
        const HeadLamps h = head_lamps(high);
        for (const float side : {-1.0f, 1.0f})
            add_aimed_glare(frame, at(model.head, side), ahead, h.glare, 0.1f, h.glare_core_px);
        const Vec3 nose = at({model.head.x, 0, model.head.z}, 1.0f);
        frame.lamps.push_back({nose, ahead, h.colour * gain, h.reach_m, index});
        const Vec3 patch = nose + ahead * (0.75f * h.patch_length_m);
        frame.add_decal(
            {patch.x, patch.y, ahead.x, ahead.y, h.patch_length_m, 2.8f, 1.0f, 0, h.colour * (1.6f * gain)});
    }
    const bool brake = (actor.lights & lights_brake) != 0;
    if (brake || (actor.lights & lights_tail) != 0) {
        const Rgb red = Rgb{1.0f, 0.07f, 0.05f} * (brake ? 1.1f : 0.4f);
        for (const float side : {-1.0f, 1.0f})
            add_aimed_glare(frame, at(model.tail, side), ahead * -1.0f, red, 0.09f, brake ? 1.0f : 0.7f);
    }
    if (actor.lights & lights_beacon) {
        const bool blue = beacon_is_blue(frame.scene.time_s);
        const Vec3 bar = at({-0.1f, blue ? 0.2f : -0.2f, 1.0f}, 1.0f);
        add_aimed_glare(frame, bar, normalized(frame.view.origin - bar),
                        blue ? Rgb{0.15f, 0.3f, 2.2f} : Rgb{1.9f, 0.1f, 0.08f}, 0.15f, 1.4f);
    }
}

}  // namespace semore::driving
