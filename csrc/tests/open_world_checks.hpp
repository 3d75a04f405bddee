// What the tests of the open world share.
#pragma once

#include "check.hpp"
#include "driving/open_world.hpp"

namespace semore::driving {

constexpr float kTick_s = 0.05f, kPi = 3.14159265f;

inline RoadView divided_road() { return highway().road; }

inline ActorId car_at(OpenWorld& world, float x_m, float y_m, float yaw_rad = 0) {
    return world.spawn_vehicle({}, {}, {x_m, y_m, 0, yaw_rad});
}

inline ActorRow row_of(OpenWorld& world, ActorId actor) {
    for (const ActorRow& row : world.actors())
        if (row.id == actor) return row;
    CHECK(!"the actor is here");
    return {};
}

template <class Error, class Call>
bool throws(Call&& call) {
    try {
        call();
    } catch (const Error&) {
        return true;
    }
    return false;
}

}  // namespace semore::driving
