// Where vehicles and cyclists start, where they appear again, and what they look like.
#pragma once

#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

// Fills one slot for an episode's start. Slots hold cyclists first, then oncoming, then same-direction vehicles.
void place_vehicle(const ScenarioConfig& config, WorldState& state, int slot);

// Moves a vehicle that the ego has passed, or a cyclist that is gone, to a new place far ahead.
void recycle_vehicle(const ScenarioConfig& config, WorldState& state, int slot);

// Where a cyclist keeps in its lane, as an offset from the lane's centre, for a uniform draw in [0, 1).
float cyclist_offset(const ScenarioConfig& config, float unit);

}  // namespace semore::driving
