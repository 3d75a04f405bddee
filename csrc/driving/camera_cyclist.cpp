// A bicycle and the one who rides it.
#include "camera_body.hpp"

#include <algorithm>
#include <utility>

namespace semore::driving {

namespace {

constexpr float wheel_radius_m = 0.34f;

void paint_wheel(const Body& body, float x, float spin_rad, std::int32_t tyre, std::int32_t spoke) {
    const Vec3 hub{x, 0, wheel_radius_m};
    const float depth = body.camera(hub).x;
    const bool fine = depth > 0.5f && body.frame.pixels(wheel_radius_m, depth) > 8.0f;
    const int corners = fine ? 16 : 8;
    const auto rim = [&](float turns) {
        const SinCos a = sin_cos(turns * 6.2831853f + spin_rad);
        return hub + Vec3{a.cos, 0, a.sin} * (wheel_radius_m - 0.02f);
    };
    for (int i = 0; i < corners; ++i)
        body.limb(rim(static_cast<float>(i) / static_cast<float>(corners)),
                  rim(static_cast<float>(i + 1) / static_cast<float>(corners)), 0.045f, 0.045f, tyre);
    if (!fine) return;
    for (int i = 0; i < 4; ++i)
        body.limb(rim(0.125f * static_cast<float>(i)), rim(0.125f * static_cast<float>(i) + 0.5f), 0.008f, 0.008f,
                  spoke);
}

struct Cycle {
    Vec3 rear, front, crank, saddle, head, bar;
};

void paint_cycle(const Body& body, const Cycle& c, Rgb colour) {
    const ClassId id = ClassId::bicycle;
    const std::int32_t tyre = body.surface(paint(30, 30, 32), id), metal = body.surface(paint(176, 178, 182), id);
    const std::int32_t tube = body.surface(colour, id), leather = body.surface(paint(52, 40, 34), id);
    const float spin = -body.actor.phase_rad * 2.0f;
    paint_wheel(body, c.rear.x, spin, tyre, metal);
    paint_wheel(body, c.front.x, spin, tyre, metal);
    for (const auto& [a, b] : {std::pair<Vec3, Vec3>{c.rear, c.crank},
                               {c.rear, c.saddle},
                               {c.crank, c.saddle},
                               {c.crank, c.head},
                               {c.saddle, c.head},
                               {c.head, c.front}})
        body.limb(a, b, 0.04f, 0.04f, tube);
    body.limb(c.head, c.bar, 0.035f, 0.035f, metal);
    body.limb(c.bar + Vec3{0, 0.24f, 0}, c.bar - Vec3{0, 0.24f, 0}, 0.035f, 0.035f, leather);
    body.limb(c.saddle + Vec3{-0.12f, 0, 0.05f}, c.saddle + Vec3{0.12f, 0, 0.05f}, 0.09f, 0.05f, leather);
    const std::int32_t reflector = body.surface(paint(210, 30, 24), id);
    body.ball(c.saddle + Vec3{-0.20f, 0, -0.10f}, 0.035f, 0.045f, reflector);
}

// Thigh and shin of equal reach meet at a knee ahead of the line from hip to foot.
Vec3 knee_of(Vec3 hip, Vec3 foot, float thigh) {
    const Vec3 half = (foot - hip) * 0.5f;
    const float bow2 = thigh * thigh - dot(half, half);
    const Vec3 along = normalized(half);
    const Vec3 out = normalized(Vec3{-along.z, 0, along.x});
    return hip + half + out * std::sqrt(std::max(bow2, 0.0f));
}

void paint_rider(const Body& body, const Cycle& c) {
    const ClassId id = ClassId::rider;
    const Rgb shirt = paint(body.actor.colour[0], body.actor.colour[1], body.actor.colour[2]);
    const Rgb leg = trousers_of(body.actor);
    const std::int32_t shoe = body.surface(paint(38, 34, 32), id), skin = body.surface(skin_of(body.actor), id);
    const Vec3 hips = c.saddle + Vec3{0.02f, 0, 0.10f}, neck = hips + Vec3{0.30f, 0, 0.46f};
    for (const float side : {1.0f, -1.0f}) {
        const float shade = side > 0 ? 1.0f : 0.78f;
        const SinCos a = sin_cos(body.actor.phase_rad + (side > 0 ? 0.0f : 3.14159265f));
        const Vec3 pedal = c.crank + Vec3{a.sin * 0.17f, side * 0.10f, a.cos * 0.17f};
        const Vec3 hip = hips + Vec3{0, side * 0.09f, 0};
        const Vec3 ankle = pedal + Vec3{-0.04f, 0, 0.09f};
        const std::int32_t cloth = body.surface(leg * shade, id);
        paint_jointed(body, hip, knee_of(hip, ankle, 0.43f), ankle, 0.16f, 0.09f, cloth, cloth);
        body.limb(ankle - Vec3{0.05f, 0, 0.05f}, pedal + Vec3{0.12f, 0, 0.02f}, 0.09f, 0.07f, shoe);
        const std::int32_t sleeve = body.surface(shirt * shade, id);
        const Vec3 shoulder = neck + Vec3{-0.03f, side * 0.19f, -0.07f}, hand = c.bar + Vec3{0, side * 0.22f, 0.02f};
        const Vec3 elbow = (shoulder + hand) * 0.5f + Vec3{-0.03f, side * 0.06f, -0.05f};
        paint_jointed(body, shoulder, elbow, hand, 0.11f, 0.07f, sleeve, skin);
    }
    paint_torso(body, hips, neck, shirt, id);
    const Rgb helmets[] = {paint(230, 230, 226), paint(200, 44, 36), paint(44, 90, 180), paint(240, 190, 40)};
    paint_head(body, neck + Vec3{0.07f, 0, 0.14f}, 1.75f, id, helmets[body.actor.style >> 6 & 3], true);
}

}  // namespace

void paint_cyclist(const Frame& frame, const ActorView& actor, int index) {
    const Body body(frame, actor, index);
    const float half = std::max(0.5f * actor.length_m - wheel_radius_m, 0.3f);
    const Cycle cycle{{-half, 0, wheel_radius_m}, {half, 0, wheel_radius_m}, {-0.06f, 0, 0.29f},
                      {-0.20f, 0, 0.86f},         {0.36f, 0, 0.84f},         {0.40f, 0, 1.02f}};
    paint_cycle(body, cycle, paint(120, 118, 116) + paint(static_cast<int>(actor.style & 15) * 6, 30, 40));
    paint_rider(body, cycle);
}

}  // namespace semore::driving
