// Daylight and night light by weather, lamps, and what they add to a surface.
#pragma once

#include "camera_math.hpp"
#include "scene.hpp"

#include <vector>

namespace semore::driving {

// Light is linear: 1 on a white surface shows as white.
struct Lighting {
    Rgb ambient_up, ambient_down;  // light arriving at surfaces that face the sky and the ground
    Rgb sun;                       // sun or moon; none under clouds
    Vec3 to_sun;
    Rgb zenith, horizon, cloud;
    float cloudiness;  // 0..1
    Rgb fog;           // what distance fades to
    float fog_per_m;
    float wetness;    // share of the sky that the road mirrors at grazing angles
    float lamp_gain;  // lamps against this daylight: 1 in the dark
    float halo_gain;  // scattering around lamps
    float rain;       // 0 dry, 1 pouring

    Rgb irradiance(Vec3 normal) const {
        const float facing = dot(normal, to_sun);
        return mix(ambient_down, ambient_up, 0.5f + 0.5f * normal.z) + sun * (facing > 0 ? facing : 0.0f);
    }
};

const Lighting& lighting_of(Weather weather);

// A lamp that lights actors and, through a decal, the ground. A zero direction shines to all sides.
struct Lamp {
    Vec3 position, direction;
    Rgb colour;
    float reach_m;  // distance at which a quarter of the light is left
    int owner;      // index of the actor that carries it and is not lit by it; -1 for street lamps
};

// Light from all lamps at a point in front of whatever carries them.
Rgb lamp_light(const std::vector<Lamp>& lamps, Vec3 point, int actor);

// The ego's headlamps in ego coordinates (x ahead of the lamps, y left, z up), as they fall on a surface that faces
// them.
struct EgoBeam {
    bool on = false;
    float gain = 0;              // brightness
    float cutoff_slope = 0;      // height of the cut-off per metre ahead; low beams dip
    float above_cutoff = 0;      // share of light above the cut-off
    Vec3 origin, forward, left;  // lamp position and axes in world coordinates

    float at(float x, float y, float z) const;
};

EgoBeam ego_beam(const SceneView& scene, const Lighting& lighting);

inline float EgoBeam::at(float x, float y, float z) const {
    const float ahead = max_of(x, 0.5f);
    const float inverse = 1.0f / ahead;
    const float across = y * inverse * 1.7f;
    const float across2 = across * across;
    const float spread = 1.0f + across2 * (1.0f + across2);
    const float steep = z * inverse * 3.5f;  // little light falls right in front of the bumper
    const float below = unit_clamp((cutoff_slope - z * inverse) * 14.0f + 0.5f);
    const float vertical = above_cutoff + (1.0f - above_cutoff) * below;
    const float falloff = (1.0f + ahead * ahead * (1.0f / 500)) * (1.0f + steep * steep);
    return select(x > 0.0f, gain * vertical / (spread * falloff), 0.0f);
}

}  // namespace semore::driving
