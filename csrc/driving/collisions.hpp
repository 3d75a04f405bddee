// Contacts of the ego with people, cyclists, vehicles and the road's barriers. Impulses act along the contact's normal
// and through the centres of mass: they change velocities, never spin.
#pragma once

#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

struct Vec2 {
    float x = 0, y = 0;
};

struct Box {
    Vec2 centre;
    float yaw_rad = 0;
    float length_m = 0, width_m = 0;
};

struct Contact {
    Vec2 normal;  // unit, from the first box to the second
    float depth_m = 0;
};

// Separating-axis test of two oriented boxes. The normal belongs to the face that was crossed last, judged by the
// velocity of the first box against the second (a fast car sinks deep into what it hits before the tick ends).
bool find_contact(const Box& first, const Box& second, Vec2 closing_mps, Contact& contact);

// Normal impulse in N s that makes two bodies closing at `closing_mps` part with the given restitution.
float two_body_impulse(float first_kg, float second_kg, float closing_mps, float restitution);

struct CollisionReport {
    float impulse_ns = 0;
    int new_hits = 0;  // with a person, cyclist or vehicle; barriers do not count
};

CollisionReport resolve_collisions(const ScenarioConfig& config, WorldState& state);

}  // namespace semore::driving
