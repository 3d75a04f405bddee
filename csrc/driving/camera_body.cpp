#include "camera_body.hpp"

namespace semore::driving {

namespace {

const Rgb skins[] = {paint(236, 196, 166), paint(214, 164, 128), paint(158, 110, 78), paint(104, 70, 50)};
const Rgb hairs[] = {paint(44, 34, 28), paint(92, 62, 36), paint(168, 130, 74), paint(120, 118, 116)};
const Rgb trousers[] = {paint(50, 72, 140), paint(28, 28, 32), paint(172, 142, 100), paint(62, 66, 74)};

// Width of something wider across the shoulders than from chest to back.
float seen_width(const Body& body, float across, float through) {
    return mix(through, across, abs_of(dot(body.left, body.frame.view.left)));
}

}  // namespace

Rgb skin_of(const ActorView& actor) { return skins[actor.style & 3]; }
Rgb hair_of(const ActorView& actor) { return hairs[actor.style >> 2 & 3]; }
Rgb trousers_of(const ActorView& actor) { return trousers[actor.style >> 4 & 3]; }

void paint_head(const Body& body, Vec3 centre, float height, ClassId id, Rgb cap, bool helmet) {
    const std::int32_t skin = body.round_surface(skin_of(body.actor), id);
    const std::int32_t hair = body.round_surface(cap, id);
    const float r = 0.068f * height;
    body.limb(centre - Vec3{0.01f, 0, r * 1.5f}, centre, r * 0.9f, r * 0.9f, skin + 1);
    body.ball(centre, r, r * 1.25f, skin);
    const float back = helmet ? 0.01f : 0.035f;
    body.ball(centre + Vec3{-back, 0, r * (helmet ? 0.62f : 0.5f)}, r * 1.1f, r * 0.95f, hair);
}

void paint_jointed(const Body& body, Vec3 from, Vec3 joint, Vec3 to, float width, float end_width, std::int32_t upper,
                   std::int32_t lower) {
    body.limb(from, joint, width, mix(width, end_width, 0.4f), upper);
    body.limb(joint, to, mix(width, end_width, 0.5f), end_width, lower);
}

void paint_torso(const Body& body, Vec3 hips, Vec3 neck, Rgb cloth, ClassId id) {
    const float h = body.actor.height_m;
    const View& view = body.frame.view;
    const float hip_width = seen_width(body, 0.175f, 0.125f) * h, shoulder_width = seen_width(body, 0.25f, 0.14f) * h;
    const std::int32_t plain = body.surface(cloth, id), shaded = body.surface(cloth * 0.78f, id);
    const Vec3 chest = hips + (neck - hips) * 0.82f;
    body.limb(hips, chest, hip_width, shoulder_width, plain);
    body.limb(chest, neck, shoulder_width, shoulder_width * 0.45f, plain);
    // The side away from the light is darker; drawn a little nearer so that it shows.
    const float away = dot(body.frame.lighting.to_sun, view.left) > 0 ? -0.28f : 0.28f;
    const Vec3 nearer{-0.02f, 0, 0};
    const Vec3 low = body.camera(hips) + Vec3{0, away * hip_width, 0} + nearer;
    const Vec3 high = body.camera(chest) + Vec3{0, away * shoulder_width, 0} + nearer;
    body.frame.raster.limb(view, low, high, hip_width * 0.42f, shoulder_width * 0.42f, shaded);
}

}  // namespace semore::driving
