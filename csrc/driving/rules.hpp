// The reward and the reasons to end, from what a tick has done to the ego. Whoever moves the world (the embedded engine,
// or a CARLA server that a Director follows), an episode is judged here.
#pragma once

#include "scenario.hpp"
#include "state.hpp"
#include "world.hpp"

namespace semore::driving {

// Where an ego is and how it moves, in the road's axes.
struct EgoMotion {
    float x_m = 0, y_m = 0, yaw_rad = 0;
    float along_mps = 0;  // velocity along x
    float speed_mps = 0;
};

EgoState observe_motion(const ScenarioConfig& config, const EgoMotion& motion);

// The terms of one tick. `end` stays running.
TickResult score(const ScenarioConfig& config, const EgoState& ego, Control control, float crash_intensity_ns,
                 int new_hits);

// Counts the tick in `state`, whose end it sets, and writes the reason to end into `tick`.
void count_tick(const ScenarioConfig& config, WorldState& state, const EgoState& ego, TickResult& tick);

// Ends the warm-up: frames count from here.
void begin_counting(WorldState& state);

void add(TickResult& sum, const TickResult& tick);

}  // namespace semore::driving
