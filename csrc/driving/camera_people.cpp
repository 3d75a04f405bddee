// People on foot and on bicycles, from limbs whose angles follow the actor's phase.
#include "camera_frame.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

const Rgb skins[] = {paint(236, 196, 166), paint(214, 164, 128), paint(158, 110, 78), paint(104, 70, 50)};
const Rgb hairs[] = {paint(44, 34, 28), paint(92, 62, 36), paint(168, 130, 74), paint(120, 118, 116)};
const Rgb trousers_of[] = {paint(50, 72, 140), paint(28, 28, 32), paint(172, 142, 100), paint(62, 66, 74)};

// A body's own axes: ahead, left, up its spine; pitched forward when it has been struck.
struct Body {
    Body(const Frame& f, const ActorView& a, int index)
        : frame(f), actor(a), foot{a.x_m, a.y_m, a.z_m} {
        const SinCos yaw = sin_cos(a.yaw_rad), pitch = sin_cos(a.pitch_rad);
        const Vec3 flat{yaw.cos, yaw.sin, 0};
        left = {-yaw.sin, yaw.cos, 0};
        up = Vec3{0, 0, 1} * pitch.cos + flat * pitch.sin;
        ahead = flat * pitch.cos - Vec3{0, 0, 1} * pitch.sin;
        // Someone lying down rests on their side, not in the ground.
        foot.z += 0.14f * abs_of(pitch.sin);
        local = lamp_light(f.lamps, foot + up * (0.6f * a.height_m), index);
        to_viewer = normalized(f.view.origin - foot);
        to_viewer.z = 0;
    }

    Vec3 world(Vec3 p) const { return foot + ahead * p.x + left * p.y + up * p.z; }
    Vec3 camera(Vec3 p) const { return frame.view.to_camera(world(p)); }

    std::int32_t surface(Rgb albedo, ClassId id, Vec3 lean = {}) const {
        const Vec3 normal = normalized(to_viewer + Vec3{0, 0, 0.25f} + lean);
        return frame.surface(albedo, normal, foot, local, id, actor.instance_id);
    }

    // Four tones from the side away from the light to the side towards it.
    std::int32_t round_surface(Rgb albedo, ClassId id) const {
        const std::int32_t first = surface(albedo * 0.72f, id);
        surface(albedo * 0.9f, id);
        surface(albedo, id);
        surface(albedo * 1.1f, id);
        return first;
    }

    void limb(Vec3 a, Vec3 b, float width_a, float width_b, std::int32_t surface_id) const {
        frame.raster.limb(frame.view, camera(a), camera(b), width_a, width_b, surface_id);
    }

    void ball(Vec3 centre, float half_width, float half_height, std::int32_t surface_id) const {
        const Vec3 sun = frame.lighting.to_sun;
        frame.raster.blob(frame.view, camera(centre), half_width, half_height, surface_id, -dot(sun, frame.view.left),
                          -dot(sun, frame.view.up), 0.0f, 0);
    }

    const Frame& frame;
    const ActorView& actor;
    Vec3 foot, ahead, left, up, to_viewer;
    Rgb local;
};

// Width of something wider across the shoulders than from chest to back.
float seen_width(const Body& body, float across, float through) {
    const float side = abs_of(dot(body.left, body.frame.view.left));
    return mix(through, across, side);
}

void paint_head(const Body& body, Vec3 centre, float height, ClassId id, Rgb cap, bool helmet) {
    const std::int32_t skin = body.round_surface(skins[body.actor.style & 3], id);
    const std::int32_t hair = body.round_surface(cap, id);
    const float r = 0.068f * height;
    body.limb(centre - Vec3{0.01f, 0, r * 1.5f}, centre, r * 0.9f, r * 0.9f, skin + 1);
    body.ball(centre, r, r * 1.25f, skin);
    const float back = helmet ? 0.01f : 0.035f;
    body.ball(centre + Vec3{-back, 0, r * (helmet ? 0.62f : 0.5f)}, r * 1.1f, r * 0.95f, hair);
}

// Upper arm and forearm, or thigh and shin, through a joint.
void paint_jointed(const Body& body, Vec3 from, Vec3 joint, Vec3 to, float width, float end_width, std::int32_t upper,
                   std::int32_t lower) {
    body.limb(from, joint, width, mix(width, end_width, 0.4f), upper);
    body.limb(joint, to, mix(width, end_width, 0.5f), end_width, lower);
}

struct Stride {
    float hip_x, knee_lift;
};

void paint_leg(const Body& body, float side, float swing, float lift, std::int32_t cloth, std::int32_t shoe) {
    const float h = body.actor.height_m;
    const Vec3 hip{0, side * 0.052f * h, 0.49f * h};
    const SinCos thigh = sin_cos(swing + 0.35f * lift), shin = sin_cos(swing - 0.65f * lift);
    const Vec3 knee = hip + Vec3{thigh.sin, 0, -thigh.cos} * (0.235f * h);
    const Vec3 ankle = knee + Vec3{shin.sin, 0, -shin.cos} * (0.225f * h);
    paint_jointed(body, hip, knee, ankle, 0.098f * h, 0.06f * h, cloth, cloth);
    const Vec3 toe = ankle + Vec3{0.09f * h, side * 0.01f, -0.008f * h};
    body.limb(ankle - Vec3{0.025f * h, 0, 0.01f * h}, toe, 0.055f * h, 0.045f * h, shoe);
}

void paint_arm(const Body& body, float side, float swing, std::int32_t sleeve, std::int32_t skin) {
    const float h = body.actor.height_m;
    const Vec3 shoulder{0, side * 0.125f * h, 0.80f * h};
    const SinCos upper = sin_cos(swing), lower = sin_cos(swing + 0.45f);
    const Vec3 elbow = shoulder + Vec3{upper.sin, side * 0.12f, -upper.cos} * (0.165f * h);
    const Vec3 hand = elbow + Vec3{lower.sin, side * 0.02f, -lower.cos} * (0.16f * h);
    paint_jointed(body, shoulder, elbow, hand, 0.062f * h, 0.042f * h, sleeve, sleeve);
    body.limb(hand, hand + Vec3{0.02f, 0, -0.045f * h}, 0.042f * h, 0.03f * h, skin);
}

void paint_torso(const Body& body, Vec3 hips, Vec3 neck, Rgb cloth, ClassId id) {
    const float h = body.actor.height_m;
    const Vec3 sun = body.frame.lighting.to_sun;
    const float lit_side = dot(sun, body.frame.view.left) > 0 ? 1.0f : -1.0f;
    const float hip_width = seen_width(body, 0.175f, 0.125f) * h, shoulder_width = seen_width(body, 0.25f, 0.14f) * h;
    const std::int32_t plain = body.surface(cloth, id), shaded = body.surface(cloth * 0.78f, id);
    const Vec3 chest = hips + (neck - hips) * 0.82f;
    body.limb(hips, chest, hip_width, shoulder_width, plain);
    body.limb(chest, neck, shoulder_width, shoulder_width * 0.45f, plain);
    // The far half of the torso turns from the light.
    const Vec3 offset = body.frame.view.left * (-lit_side * 0.28f);
    const auto shift = [&](Vec3 p, float width) { return body.camera(p) + body.frame.view.to_camera(body.frame.view.origin + offset * width); };
    Vec3 low = shift(hips, hip_width), high = shift(chest, shoulder_width);
    low.x -= 0.02f, high.x -= 0.02f;
    body.frame.raster.limb(body.frame.view, low, high, hip_width * 0.42f, shoulder_width * 0.42f, shaded);
}

}  // namespace

void paint_pedestrian(const Frame& frame, const ActorView& actor, int index) {
    const Body body(frame, actor, index);
    const float h = actor.height_m;
    const ClassId id = ClassId::pedestrian;
    const Rgb shirt = paint(actor.colour[0], actor.colour[1], actor.colour[2]);
    const std::int32_t cloth = body.surface(shirt * 0.94f, id), far_cloth = body.surface(shirt * 0.76f, id);
    const Rgb leg = trousers_of[actor.style >> 4 & 3];
    const std::int32_t trouser = body.surface(leg, id), far_trouser = body.surface(leg * 0.75f, id);
    const std::int32_t skin = body.surface(skins[actor.style & 3], id), shoe = body.surface(paint(38, 34, 32), id);

    const float pace = clamp(actor.speed_mps * 0.8f, 0.0f, 1.0f);
    const float reach = (0.38f + 0.035f * clamp(actor.speed_mps, 0.0f, 8.0f)) * pace;
    const SinCos step = sin_cos(actor.phase_rad);
    const float bend = 0.25f + 0.11f * clamp(actor.speed_mps, 0.0f, 8.0f);
    const float lift_left = bend * pace * std::max(0.0f, step.cos), lift_right = bend * pace * std::max(0.0f, -step.cos);
    paint_leg(body, 1, reach * step.sin, lift_left, trouser, shoe);
    paint_leg(body, -1, -reach * step.sin, lift_right, far_trouser, shoe);
    const float arm = reach * 0.9f * step.sin;
    paint_arm(body, 1, -arm, cloth, skin);
    paint_arm(body, -1, arm, far_cloth, skin);
    const float lean = 0.012f * clamp(actor.speed_mps, 0.0f, 8.0f);
    paint_torso(body, {0, 0, 0.46f * h}, {lean, 0, 0.86f * h}, shirt, id);
    paint_head(body, {lean + 0.01f, 0, 0.925f * h}, h, id, hairs[actor.style >> 2 & 3], false);
}

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
        body.limb(rim(static_cast<float>(i) / static_cast<float>(corners)), rim(static_cast<float>(i + 1) / static_cast<float>(corners)), 0.045f, 0.045f, tyre);
    if (!fine) return;
    for (int i = 0; i < 4; ++i) body.limb(rim(0.125f * static_cast<float>(i)), rim(0.125f * static_cast<float>(i) + 0.5f), 0.008f, 0.008f, spoke);
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
    for (const auto& [a, b] : {std::pair<Vec3, Vec3>{c.rear, c.crank}, {c.rear, c.saddle}, {c.crank, c.saddle}, {c.crank, c.head}, {c.saddle, c.head}, {c.head, c.front}})
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
    const Rgb leg = trousers_of[body.actor.style >> 4 & 3];
    const std::int32_t shoe = body.surface(paint(38, 34, 32), id), skin = body.surface(skins[body.actor.style & 3], id);
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
                      {-0.20f, 0, 0.86f}, {0.36f, 0, 0.84f}, {0.40f, 0, 1.02f}};
    paint_cycle(body, cycle, hairs[3] + paint(static_cast<int>(actor.style & 15) * 6, 30, 40));
    paint_rider(body, cycle);
}

}  // namespace semore::driving
