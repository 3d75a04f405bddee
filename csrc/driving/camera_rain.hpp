// Falling rain: short bright streaks, placed by the tick.
#pragma once

#include "camera_ground.hpp"

#include <vector>

namespace semore::driving {

struct RainStreak {
    float x, slant;
    int row0, row1;
    Rgb light;
};

void place_rain(const SceneView& scene, const View& view, const Lighting& lighting, std::vector<RainStreak>& out);
void apply_rain(const std::vector<RainStreak>& streaks, int row, PixelRow& out);

}  // namespace semore::driving
