// What happens to those whom the ego has struck.
#pragma once

#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

// Moves carried ones with the ego and sheds them when it brakes. Shed people and cyclists slide to rest and disappear,
// shed vehicles drive on.
// Returns the contact impulse in N s of the bodies that were already carried when the tick began.
float advance_bodies(const ScenarioConfig& config, WorldState& state);

}  // namespace semore::driving
