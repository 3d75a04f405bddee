#include "camera_vehicle_model.hpp"

#include "camera_frame.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

constexpr float coarse_below_px = 12.0f;  // projected height
constexpr float layer_bias = 0.0025f;

struct Look {
    Rgb albedo, emitted;
};

class PartLooks {
public:
    PartLooks(const Frame& frame, const ActorView& actor)
        : lighting_(frame.lighting),
          lights_(actor.lights),
          body_(paint(actor.colour[0], actor.colour[1], actor.colour[2])),
          police_(actor.kind == ActorKind::police_car),
          time_s_(frame.scene.time_s) {}

    Look of(Part part) const {
        const float gain = lighting_.lamp_gain;
        switch (part) {
            case Part::body: return {body_, {}};
            case Part::roof: return {body_ * 0.92f, lighting_.zenith * 0.08f};
            case Part::cargo: return {mix(body_, paint(214, 214, 210), 0.35f), {}};
            case Part::stripe: return {police_ ? paint(40, 66, 150) : paint(222, 222, 216), {}};
            case Part::trim: return {paint(46, 47, 50), {}};
            case Part::glass: return {paint(40, 48, 58), lighting_.horizon * 0.10f};
            case Part::tyre: return {paint(34, 34, 36), {}};
            case Part::hub: return {paint(168, 170, 174), {}};
            case Part::plate: return {paint(228, 226, 214), {}};
            case Part::head_lamp:
                if (lights_ & lights_high_beam) return {paint(240, 240, 235), Rgb{4.0f, 4.0f, 3.8f} * (0.25f + gain)};
                if (lights_ & lights_low_beam) return {paint(240, 240, 235), Rgb{2.0f, 1.95f, 1.75f} * (0.2f + gain)};
                return {paint(206, 212, 216), lighting_.horizon * 0.1f};
            case Part::tail_lamp:
                if (lights_ & lights_brake)
                    return {paint(190, 24, 20), Rgb{2.6f, 0.16f, 0.10f} * (0.35f + 0.65f * gain)};
                if (lights_ & lights_tail)
                    return {paint(170, 22, 20), Rgb{0.75f, 0.035f, 0.025f} * (0.25f + 0.75f * gain)};
                return {paint(150, 22, 20), {}};
            case Part::bar_red: return beacon({2.4f, 0.08f, 0.05f}, paint(150, 26, 26), !beacon_is_blue(time_s_));
            case Part::bar_blue: return beacon({0.10f, 0.25f, 3.0f}, paint(30, 46, 160), beacon_is_blue(time_s_));
        }
        return {};
    }

private:
    Look beacon(Rgb light, Rgb off, bool on_now) const {
        const bool flash = (lights_ & lights_beacon) != 0 && on_now;
        return {off, flash ? light * (0.4f + 0.6f * lighting_.lamp_gain) : Rgb{}};
    }

    const Lighting& lighting_;
    std::uint8_t lights_;
    Rgb body_;
    bool police_;
    double time_s_;
};

}  // namespace

void paint_vehicle(const Frame& frame, const ActorView& actor, int index) {
    const SinCos yaw = sin_cos(actor.yaw_rad);
    const Vec3 ahead{yaw.cos, yaw.sin, 0}, left{-yaw.sin, yaw.cos, 0};
    const Vec3 centre{actor.x_m, actor.y_m, actor.z_m};
    const View& view = frame.view;
    const float depth = view.to_camera(centre).x;
    const bool far = depth > 1 && frame.pixels(actor.height_m, depth) < coarse_below_px;
    const VehicleModel& model = vehicle_model(actor.kind);
    const PartLooks looks(frame, actor);
    const ClassId class_id = actor.kind == ActorKind::truck ? ClassId::truck : ClassId::car;
    const Vec3 middle = centre + Vec3{0, 0, 0.5f * actor.height_m};
    const Rgb local = lamp_light(frame.lamps, middle, index);
    const Vec3 base = view.to_camera(centre);
    const Vec3 ax = view.to_camera(centre + ahead * actor.length_m) - base;
    const Vec3 ay = view.to_camera(centre + left * actor.width_m) - base;
    const Vec3 az = view.to_camera(centre + Vec3{0, 0, actor.height_m}) - base;
    const auto place = [&](Vec3 p) { return base + ax * p.x + ay * p.y + az * p.z; };
    const float il = 1.0f / actor.length_m, iw = 1.0f / actor.width_m, ih = 1.0f / actor.height_m;

    for (const Panel& panel : far ? model.coarse : model.fine) {
        const Vec3 n = ahead * (panel.normal.x * il) + left * (panel.normal.y * iw) + Vec3{0, 0, panel.normal.z * ih};
        const Vec3 first = panel.corners[0];
        const Vec3 world = centre + ahead * (first.x * actor.length_m) + left * (first.y * actor.width_m) +
                           Vec3{0, 0, first.z * actor.height_m};
        if (dot(n, world - view.origin) >= 0) continue;
        Vec3 corners[max_panel_corners];
        for (int i = 0; i < panel.count; ++i) corners[i] = place(panel.corners[i]);
        const Look look = looks.of(panel.part);
        const std::int32_t surface =
            frame.surface(look.albedo, normalized(n), middle, local, class_id, actor.instance_id, look.emitted);
        frame.raster.polygon(view, corners, panel.count, surface, 1.0f + layer_bias * static_cast<float>(panel.layer));
    }
}

}  // namespace semore::driving
