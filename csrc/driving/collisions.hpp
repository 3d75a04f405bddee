// Contacts of the ego with people, cyclists, vehicles and the road's barriers.
#pragma once

#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

struct CollisionReport {
    float impulse_ns = 0;
    int new_hits = 0;  // with a person, cyclist or vehicle; barriers do not count
};

CollisionReport resolve_collisions(const ScenarioConfig& config, WorldState& state);

}  // namespace semore::driving
