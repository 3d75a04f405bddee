// Pedestrians in groups along the endless road, and the rule by which they cross it.
#pragma once

#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

constexpr float kWalkerLength_m = 0.5f, kWalkerWidth_m = 0.5f, kWalkerHeight_m = 1.75f;

// Half-width of the band in which a walker keeps walking, and where it stands outside the band.
float crossing_band_y(const RoadView& road);
float standing_y(const RoadView& road);

// How many walkers a configuration keeps alive around the ego.
int walkers_needed(const ScenarioConfig& config);

void place_walkers(const ScenarioConfig& config, WorldState& state);

// Offers a crossing to everyone who stands; one call per draw of the rule.
void draw_crossings(const ScenarioConfig& config, WorldState& state);

// Limb phase one tick later.
float walking_phase(float phase_rad, float speed_mps, float dt_s);

void advance_walkers(const ScenarioConfig& config, WorldState& state);

}  // namespace semore::driving
