// How the world's people and lamps show themselves, for whoever draws them elsewhere.
#pragma once

#include "scene.hpp"
#include "state.hpp"

namespace semore::driving {

// Where a person looks: ahead while walking, towards the road at rest.
float facing_of(const Walker& walker);

std::uint8_t ego_lights(Weather weather);

}  // namespace semore::driving
