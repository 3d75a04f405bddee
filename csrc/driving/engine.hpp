// One tick of a world's state: the order of things.
#pragma once

#include "scenario.hpp"
#include "state.hpp"
#include "world.hpp"

namespace semore::driving {

// Places everybody from the seed; no tick has passed yet.
void place_episode(const ScenarioConfig& config, WorldState& state, std::uint64_t seed);

// place_episode and the warm-up.
void start_episode(const ScenarioConfig& config, WorldState& state, std::uint64_t seed);

// What the people decide and where they walk in the tick to come, the first part of advance_world.
void advance_people(const ScenarioConfig& config, WorldState& state);

// Advances by one dt, whatever `state.end` says (a planner looks beyond). The control must be within [-1, 1].
TickResult advance_world(const ScenarioConfig& config, WorldState& state, Control control);

EgoState observe_ego(const ScenarioConfig& config, const Ego& ego);

}  // namespace semore::driving
