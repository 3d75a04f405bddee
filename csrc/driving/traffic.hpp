// Vehicles and cyclists: IDM car following (Treiber et al. 2000) and MOBIL lane changes (Kesting et al. 2007).
#pragma once

#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

struct IdmParameters {
    float max_accel_mps2 = 1.5f;
    float comfortable_braking_mps2 = 2.0f;
    float time_gap_s = 1.2f;
    float jam_distance_m = 2.0f;  // CARLA's traffic manager keeps the same distance in the paper's scenarios
    float hardest_braking_mps2 = 7.0f;
};

// Acceleration behind a leader `gap_m` ahead (bumper to bumper) driving at `leader_mps`.
float idm_acceleration(const IdmParameters& idm, float speed_mps, float desired_mps, float gap_m, float leader_mps);

// The gap at which IDM holds `speed_mps` behind a leader of the same speed.
float idm_equilibrium_gap(const IdmParameters& idm, float speed_mps, float desired_mps);

// Pedal phase one tick later.
float pedalling_phase(float phase_rad, float speed_mps, float dt_s);

int vehicles_needed(const ScenarioConfig& config);

void place_traffic(const ScenarioConfig& config, WorldState& state);

// Whether a vehicle's slot is due for a new place ahead: the ego has passed it, or it is gone.
bool needs_new_place(const WorldState& state, const Vehicle& vehicle);

// Cyclists avoid puddles and drains that nobody else sees: now and then one chooses another place in its lane.
void maybe_swerve(const ScenarioConfig& config, WorldState& state, int slot);

void advance_traffic(const ScenarioConfig& config, WorldState& state);

}  // namespace semore::driving
