// Everything one frame is painted with, passed to the painters of actors and scenery.
#pragma once

#include "camera_light.hpp"
#include "camera_raster.hpp"

#include <vector>

namespace semore::driving {

// A soft rectangle or ellipse on the ground: shade takes light away, glow adds lamp light.
struct GroundDecal {
    float x, y;                               // centre
    float axis_x, axis_y;                     // unit vector along half_length_m
    float half_length_m, half_width_m, soft;  // soft: share of the half sizes over which it fades
    float shade;
    Rgb glow;
    int row0 = 0, row1 = 0, column0 = 0, column1 = 0;  // where it can be seen
};

// Scattered light around a lamp, added on the screen.
struct Glare {
    float x, y, depth_m, core_px, radius_px;
    Rgb colour;
};

struct Frame {
    const SceneView& scene;
    const View& view;
    const Lighting& lighting;
    const EgoBeam& beam;
    Raster& raster;
    std::vector<Lamp>& lamps;
    std::vector<GroundDecal>& decals;
    std::vector<Glare>& glares;

    float pixels(float metres, float depth_m) const { return metres * view.focal_px / depth_m; }

    // Adds a lit surface at a place; `local` is lamp light there, `emitted` its own.
    std::int32_t surface(Rgb albedo, Vec3 normal, Vec3 place, Rgb local, ClassId class_id, int instance_id,
                         Rgb emitted = {}) const {
        const Rgb base = albedo * (lighting.irradiance(normal) + local) + emitted;
        if (!beam.on) return raster.add_surface(base, {}, class_id, instance_id);
        const Vec3 to_ego = normalized(beam.origin - place);
        const float facing = dot(normal, to_ego);
        const float response = 0.35f + 0.65f * (facing > 0 ? facing : 0.0f);
        return raster.add_surface(base, albedo * response, class_id, instance_id);
    }

    void add_decal(GroundDecal decal) const;
    // Scatter around a lamp seen at a camera position; `core_px` is for a 128-pixel image.
    void add_glare(Vec3 camera, float core_m, float core_px, Rgb colour) const;
};

// Police lights flash red and blue in turn, each for a quarter of a second.
inline bool beacon_is_blue(double time_s) {
    const double turn = time_s * 2.0;
    return turn - static_cast<double>(static_cast<long long>(turn)) >= 0.5;
}

// Lamps come first: they light everything painted after them.
void add_street_lamps(const Frame& frame);
void add_actor_lamps(const Frame& frame, const ActorView& actor, int index);
void paint_actor(const Frame& frame, const ActorView& actor, int index);
void paint_vehicle(const Frame& frame, const ActorView& actor, int index);
void paint_pedestrian(const Frame& frame, const ActorView& actor, int index);
void paint_cyclist(const Frame& frame, const ActorView& actor, int index);
void paint_scenery(const Frame& frame);

}  // namespace semore::driving
