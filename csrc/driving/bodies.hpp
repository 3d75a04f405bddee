// What happens to those whom the ego has struck.
#pragma once

#include "ego.hpp"
#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

// Moves carried ones with the ego and sheds them when it brakes. Shed people and cyclists slide to rest and disappear,
// shed vehicles drive on.
// Returns the contact impulse in N s of the bodies that were already carried when the tick began.
float advance_bodies(const ScenarioConfig& config, WorldState& state);

// One tick of somebody who slides to rest and lies there, until gone.
void lie(const ScenarioConfig& config, Body& body, float& x_m);

// One tick of somebody whom the car carries, or sheds where it stands. Returns the impulse on the car in N s.
float carry_person(const ScenarioConfig& config, const Car& car, Body& body, float struck_kg, float& x_m, float& y_m);

// One tick of a vehicle hooked to the car. Once it is shed the body is active again and has the car's velocity.
float carry_vehicle(const ScenarioConfig& config, const Car& car, Body& body, float width_m, float& x_m, float& y_m);

}  // namespace semore::driving
