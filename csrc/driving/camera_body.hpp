// People's bodies: limbs, torso and head, on foot or on a bicycle.
#pragma once

#include "camera_frame.hpp"

namespace semore::driving {

// A body's own axes: ahead, left, up its spine; pitched forward when it has been struck.
struct Body {
    Body(const Frame& f, const ActorView& a, int index) : frame(f), actor(a), foot{a.x_m, a.y_m, a.z_m} {
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

// Colours that an actor's style picks.
Rgb skin_of(const ActorView& actor);
Rgb hair_of(const ActorView& actor);
Rgb trousers_of(const ActorView& actor);

// Upper arm and forearm, or thigh and shin, through a joint.
void paint_jointed(const Body& body, Vec3 from, Vec3 joint, Vec3 to, float width, float end_width, std::int32_t upper,
                   std::int32_t lower);
void paint_torso(const Body& body, Vec3 hips, Vec3 neck, Rgb cloth, ClassId id);
void paint_head(const Body& body, Vec3 centre, float height, ClassId id, Rgb cap, bool helmet);

}  // namespace semore::driving
