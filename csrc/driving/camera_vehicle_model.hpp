// Vehicles as convex panels in a unit box: x -0.5 (rear) .. 0.5 (front), y -0.5 (right) .. 0.5 (left), z 0 .. 1.
#pragma once

#include "camera_math.hpp"
#include "scene.hpp"

#include <vector>

namespace semore::driving {

enum class Part : std::uint8_t {
    body,
    roof,
    trim,
    glass,
    tyre,
    hub,
    head_lamp,
    tail_lamp,
    plate,
    stripe,
    cargo,
    bar_red,
    bar_blue
};

constexpr int max_panel_corners = 10;

struct Panel {
    Vec3 corners[max_panel_corners];
    int count;
    Part part;
    int layer;    // 0 the shell; higher ones are stuck on it
    Vec3 normal;  // of the unit box, not of unit length
};

struct LampPlace {
    float x, y, z;
};

struct VehicleModel {
    std::vector<Panel> fine, coarse;
    LampPlace head, tail;  // the left one; the right one mirrors y
};

const VehicleModel& vehicle_model(ActorKind kind);

}  // namespace semore::driving
