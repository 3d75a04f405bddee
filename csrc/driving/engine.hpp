// One tick of a world's state: the order of things, the reward and the reasons to end.
#pragma once

#include "scenario.hpp"
#include "state.hpp"
#include "world.hpp"

namespace semore::driving {

void start_episode(const ScenarioConfig& config, WorldState& state, std::uint64_t seed);

// Advances by one dt, whatever `state.end` says (a planner looks beyond). The control must be within [-1, 1].
TickResult advance_world(const ScenarioConfig& config, WorldState& state, Control control);

EgoState observe_ego(const ScenarioConfig& config, const Ego& ego);

}  // namespace semore::driving
