// The ego's dynamics: a dynamic bicycle with saturating tyres, load transfer, steering lag, throttle and brake curves,
// drag and a speed limiter. Figures are those of a mid-size electric family car of 1845 kg.
#pragma once

#include "state.hpp"

namespace semore::driving {

constexpr float kEgoMass_kg = 1845.0f;
constexpr float kEgoLength_m = 4.70f, kEgoWidth_m = 1.86f, kEgoHeight_m = 1.44f;
constexpr float kEgoGrip = 0.92f;               // tyre-road friction, dry asphalt
constexpr float kEgoMaxWheelAngle_rad = 0.58f;  // 33 degrees at full lock

struct Pedals {
    float wheel_target_rad = 0;  // front wheels, left positive
    float throttle = 0, brake = 0;
    bool reverse = false;  // the throttle pushes backwards
};

// What the speed limiter leaves of the throttle.
float limiter_share(float speed_mps, float speed_limit_mps);

// Steering in [-1, 1], positive to the right; pedals in [0, 1].
Pedals pedals_of(float steer, float throttle, float brake);

void advance_ego(Ego& ego, const Pedals& pedals, float speed_limit_mps, float dt_s);

// Components of the ego's velocity along the road's axes.
struct RoadVelocity {
    float x_mps = 0, y_mps = 0;
};
RoadVelocity road_velocity(const Ego& ego);
void set_road_velocity(Ego& ego, RoadVelocity velocity);
float ego_speed(const Ego& ego);

// A vehicle that feels what it touches: the ego, or any vehicle of the open world.
struct Car {
    Ego& motion;
    float length_m = kEgoLength_m, width_m = kEgoWidth_m;
};

}  // namespace semore::driving
