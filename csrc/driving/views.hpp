// How people and vehicles look to a camera, wherever they come from.
#pragma once

#include "ego.hpp"
#include "scene.hpp"
#include "state.hpp"

namespace semore::driving {

// Instance ids: people first, then vehicles and cyclists.
constexpr int kFirstWalkerId = 1, kFirstVehicleId = 1 + kMaxWalkers;

ActorView view_of(const Walker& walker, float yaw_rad, float speed_mps);

// Where a person of the scenarios looks: ahead while walking, towards the road at rest.
float facing_of(const Walker& walker);

std::uint8_t ego_lights(Weather weather);

// Tips over somebody who was struck.
void lay_down(ActorView& view, const Body& body);

// Velocity of somebody who may be carried by `carrier`, sliding or lying; `own` otherwise.
RoadVelocity velocity_of(const Body& body, const Ego& carrier, RoadVelocity own);

// Where a camera sits: ahead and left of a footprint's centre, up from the ground, turned left and up.
struct Mount {
    float x_m = 1.0f, y_m = 0, z_m = 1.5f;  // CARLA mount of the paper's code
    float yaw_rad = 0, pitch_rad = 0;
};

void look_from(SceneView& scene, float x_m, float y_m, float yaw_rad, const Mount& mount);

}  // namespace semore::driving
