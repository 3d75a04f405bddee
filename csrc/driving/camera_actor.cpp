// What all actors share: the shadow they cast and the dark under them.
#include "camera_frame.hpp"

namespace semore::driving {

namespace {

// The box of an actor, swept along the direction the sun throws its shadow.
void add_sun_shadow(const Frame& frame, const ActorView& a, float ahead_x, float ahead_y) {
    const Vec3 sun = frame.lighting.to_sun;
    const float strength =
        brightness(frame.lighting.sun) * sun.z / (brightness(frame.lighting.irradiance({0, 0, 1})) + 1e-6f);
    if (strength < 0.05f) return;
    const bool person = a.kind == ActorKind::pedestrian || a.kind == ActorKind::cyclist;
    const float reach = (a.z_m + a.height_m * (person ? 1.0f : 0.8f)) / sun.z;
    const float sx = -sun.x * reach, sy = -sun.y * reach;
    if (person) {  // thin: the shadow is a strip along the sweep
        const float length = std::sqrt(sx * sx + sy * sy) + 1e-6f;
        const float ux = sx / length, uy = sy / length;
        const float cosine = abs_of(ahead_x * ux + ahead_y * uy);
        const float width = mix(a.length_m, a.width_m, cosine);
        frame.add_decal(
            {a.x_m + 0.5f * sx, a.y_m + 0.5f * sy, ux, uy, 0.5f * length + 0.1f, 0.5f * width, 0.35f, strength, {}});
        return;
    }
    const float along = sx * ahead_x + sy * ahead_y, across = sy * ahead_x - sx * ahead_y;
    frame.add_decal({a.x_m + 0.5f * sx,
                     a.y_m + 0.5f * sy,
                     ahead_x,
                     ahead_y,
                     0.5f * (a.length_m + abs_of(along) * 0.8f),
                     0.5f * (a.width_m + abs_of(across) * 0.9f),
                     0.12f,
                     strength,
                     {}});
}

}  // namespace

void paint_actor(const Frame& frame, const ActorView& actor, int index) {
    const float reach = actor.length_m + actor.height_m;
    const Vec3 camera = frame.view.to_camera({actor.x_m, actor.y_m, actor.z_m});
    if (camera.x < -reach) return;
    const SinCos yaw = sin_cos(actor.yaw_rad);
    add_sun_shadow(frame, actor, yaw.cos, yaw.sin);
    const bool person = actor.kind == ActorKind::pedestrian;
    frame.add_decal({actor.x_m,
                     actor.y_m,
                     yaw.cos,
                     yaw.sin,
                     0.5f * actor.length_m * (person ? 1.1f : 1.08f),
                     0.5f * actor.width_m * (person ? 1.1f : 1.18f),
                     person ? 0.8f : 0.3f,
                     person ? 0.35f : 0.7f,
                     {}});
    // Outside the view by more than its size: only its shadow can be seen.
    if (camera.x + reach < 0 || abs_of(camera.y) > camera.x * frame.view.centre_px / frame.view.focal_px + 2 * reach)
        return;
    if (actor.kind == ActorKind::pedestrian) return paint_pedestrian(frame, actor, index);
    if (actor.kind == ActorKind::cyclist) return paint_cyclist(frame, actor, index);
    paint_vehicle(frame, actor, index);
}

}  // namespace semore::driving
