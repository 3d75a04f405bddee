// People on foot: limbs swing with the actor's phase.
#include "camera_body.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

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

}  // namespace

void paint_pedestrian(const Frame& frame, const ActorView& actor, int index) {
    const Body body(frame, actor, index);
    const float h = actor.height_m;
    const ClassId id = ClassId::pedestrian;
    const Rgb shirt = paint(actor.colour[0], actor.colour[1], actor.colour[2]);
    const std::int32_t cloth = body.surface(shirt * 0.94f, id), far_cloth = body.surface(shirt * 0.76f, id);
    const Rgb leg = trousers_of(actor);
    const std::int32_t trouser = body.surface(leg, id), far_trouser = body.surface(leg * 0.75f, id);
    const std::int32_t skin = body.surface(skin_of(actor), id), shoe = body.surface(paint(38, 34, 32), id);

    const float pace = clamp(actor.speed_mps * 0.8f, 0.0f, 1.0f);
    const float reach = (0.38f + 0.035f * clamp(actor.speed_mps, 0.0f, 8.0f)) * pace;
    const SinCos step = sin_cos(actor.phase_rad);
    const float bend = 0.25f + 0.11f * clamp(actor.speed_mps, 0.0f, 8.0f);
    const float lift_left = bend * pace * std::max(0.0f, step.cos),
                lift_right = bend * pace * std::max(0.0f, -step.cos);
    paint_leg(body, 1, reach * step.sin, lift_left, trouser, shoe);
    paint_leg(body, -1, -reach * step.sin, lift_right, far_trouser, shoe);
    const float arm = reach * 0.9f * step.sin;
    paint_arm(body, 1, -arm, cloth, skin);
    paint_arm(body, -1, arm, far_cloth, skin);
    const float lean = 0.012f * clamp(actor.speed_mps, 0.0f, 8.0f);
    paint_torso(body, {0, 0, 0.46f * h}, {lean, 0, 0.86f * h}, shirt, id);
    paint_head(body, {lean + 0.01f, 0, 0.925f * h}, h, id, hair_of(actor), false);
}

}  // namespace semore::driving
