// Contact of one car with one other body, or with the road's barriers. Impulses act along the contact's normal and
// through the centres of mass: they change velocities, never spin.
#pragma once

#include "ego.hpp"
#include "scenario.hpp"
#include "state.hpp"

namespace semore::driving {

struct Vec2 {
    float x = 0, y = 0;
};

inline float dot(Vec2 a, Vec2 b) { return a.x * b.x + a.y * b.y; }

struct Box {
    Vec2 centre;
    float yaw_rad = 0;
    float length_m = 0, width_m = 0;
};

struct Contact {
    Vec2 normal;  // unit, from the first box to the second
    float depth_m = 0;
};

// Separating-axis test of two oriented boxes. The normal belongs to the face that was crossed last, judged by the
// velocity of the first box against the second (a fast car sinks deep into what it hits before the tick ends).
bool find_contact(const Box& first, const Box& second, Vec2 closing_mps, Contact& contact);

// Normal impulse in N s that makes two bodies closing at `closing_mps` part with the given restitution.
float two_body_impulse(float first_kg, float second_kg, float closing_mps, float restitution);

// What a contact did to the car: the impulse acts on it against the normal.
struct Hit {
    float impulse_ns = 0;
    Vec2 normal;
    bool touching = false, begun = false;
};

Box box_of(const Car& car);
Vec2 velocity_of(const Ego& ego);

// Somebody on foot or on a bike, who is carried or knocked over.
Hit hit_person(const ScenarioConfig& config, const Car& car, Body& body, const Box& box, Vec2 velocity, float struck_kg,
               float own_kg);

// A vehicle that has no say: both places change so that the two no longer overlap, and a blow hooks it to the car.
// Its velocity is the caller's to change, by the impulse along the normal.
Hit hit_vehicle(const ScenarioConfig& config, const Car& car, Body& body, const Box& box, Vec2 velocity, float& x_m,
                float& y_m);

// The y range that a car's corners may use.
struct Free {
    float right_m, left_m;
};

// `side` is that of the median on which the car drives: 1 on the left.
Free free_road(const RoadView& road, float side);

// Fences, guard rails and the median's barrier. A car that is not steered away keeps heading into the barrier and
// scrapes along it, so that the contact lasts until the driver reacts.
Hit hit_barrier(const ScenarioConfig& config, const Car& car, const Free& free, std::uint8_t& touching);

}  // namespace semore::driving
