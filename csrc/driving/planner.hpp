// The privileged reference driver: it sees every actor's state, but not the random draws to come.
#pragma once

#include "scenario.hpp"
#include "state.hpp"
#include "world.hpp"

namespace semore::driving {

// Simulates candidate manoeuvres in copies of the world with redrawn randomness and returns the first control of the
// one with the best expected outcome. A pure function of its arguments.
Control plan(const ScenarioConfig& config, const WorldState& state);

}  // namespace semore::driving
