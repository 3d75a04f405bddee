#include "ego.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kGravity_mps2 = 9.81f;
constexpr float kYawInertia_kgm2 = 2900.0f;
constexpr float kToFront_m = 1.50f, kToRear_m = 1.375f;  // axles from the centre of mass
constexpr float kWheelbase_m = kToFront_m + kToRear_m;
constexpr float kMassHeight_m = 0.48f;
constexpr float kCornering = 19.0f;  // cornering stiffness per newton of load, 1/rad
constexpr float kSteeringLag_s = 0.12f;
constexpr float kDrive_mps2 = 4.5f;      // full throttle, traction side
constexpr float kPower_wpkg = 80.0f;     // full throttle, power side
constexpr float kBrake_mps2 = 8.0f;      // full brake
constexpr float kDrag_per_m = 0.00033f;  // 0.5 rho cd A / mass
constexpr float kRolling_mps2 = 0.12f;
constexpr float kReverseLimit_mps = 8.0f;
constexpr float kLimiterBand_mps = 0.5f;  // throttle fades out over this last stretch below the limit
constexpr float kKinematicBelow_mps = 2.0f, kDynamicAbove_mps = 4.0f;
constexpr int kSubsteps = 4;  // keeps the tyres' lateral mode stable at kKinematicBelow

struct AxleForces {
    float front = 0, rear = 0;
};

AxleForces axle_loads(float forward_mps2) {
    const float weight = kEgoMass_kg * kGravity_mps2;
    const float transfer = kEgoMass_kg * forward_mps2 * kMassHeight_m / kWheelbase_m;
    return {weight * kToRear_m / kWheelbase_m - transfer, weight * kToFront_m / kWheelbase_m + transfer};
}

// Lateral force of one axle: linear for small slip, saturating smoothly at what the friction circle leaves.
float tyre_force(float slip, float load, float longitudinal) {
    const float grip = kEgoGrip * load;
    const float room = std::sqrt(std::max(grip * grip - longitudinal * longitudinal, 0.01f * grip * grip));
    const float demand = kCornering * load * slip / room;
    return -room * demand / std::sqrt(1.0f + demand * demand);
}

// Acceleration in the selected gear's direction that pedals, drag and rolling resistance ask for at a speed in that
// direction; brakes never push the other way.
float geared_acceleration(const Pedals& pedals, float speed, float speed_limit_mps, float dt_s) {
    const float fade = limiter_share(speed, speed_limit_mps);
    const float drive = pedals.throttle * fade * std::min(kDrive_mps2, kPower_wpkg / std::max(speed, 1.0f));
    const float brake = std::min(pedals.brake * kBrake_mps2, kEgoGrip * kGravity_mps2);
    const float resist = brake + kRolling_mps2 + kDrag_per_m * speed * speed;
    const float stopping = std::abs(speed) / dt_s + (speed >= 0 ? drive : 0.0f);
    return drive - std::copysign(std::min(resist, stopping), speed);
}

float pedal_acceleration(const Ego& ego, const Pedals& pedals, float speed_limit_mps, float dt_s) {
    if (pedals.reverse)
        return -geared_acceleration(pedals, 0.0f - ego.forward_mps, std::min(speed_limit_mps, kReverseLimit_mps), dt_s);
    return geared_acceleration(pedals, ego.forward_mps, speed_limit_mps, dt_s);
}

float slip_at_front(const Ego& ego, float forward) {
    const float course = (ego.sideways_mps + kToFront_m * ego.yaw_rate_rps) / forward;
    const float wheel = std::tan(ego.wheel_angle_rad);
    return (course - wheel) / (1.0f + course * wheel);
}

// Sideways and yaw motion by tyre forces. Longitudinal force is split evenly between the axles.
void advance_sliding(Ego& ego, float accel, float dt_s) {
    const float forward = std::max(ego.forward_mps, kKinematicBelow_mps);
    const AxleForces load = axle_loads(accel);
    const float longitudinal = 0.5f * kEgoMass_kg * accel;
    const float front = tyre_force(slip_at_front(ego, forward), load.front, longitudinal);
    const float rear = tyre_force((ego.sideways_mps - kToRear_m * ego.yaw_rate_rps) / forward, load.rear, longitudinal);
    const float across = front * std::cos(ego.wheel_angle_rad);
    const float scrub = front * std::sin(ego.wheel_angle_rad);
    const float yaw_rate = ego.yaw_rate_rps;
    ego.yaw_rate_rps += dt_s * (kToFront_m * across - kToRear_m * rear) / kYawInertia_kgm2;
    ego.forward_mps += dt_s * (accel - scrub / kEgoMass_kg + ego.sideways_mps * yaw_rate);
    ego.sideways_mps += dt_s * ((across + rear) / kEgoMass_kg - ego.forward_mps * yaw_rate);
}

// Rolling without slip; also the limit that advance_sliding tends to at walking pace.
void advance_rolling(Ego& ego, float accel, float dt_s) {
    ego.forward_mps += dt_s * accel;
    ego.yaw_rate_rps = ego.forward_mps * std::tan(ego.wheel_angle_rad) / kWheelbase_m;
    ego.sideways_mps = kToRear_m * ego.yaw_rate_rps;
}

void advance_velocities(Ego& ego, float accel, float dt_s) {
    const float blend =
        std::clamp((ego.forward_mps - kKinematicBelow_mps) / (kDynamicAbove_mps - kKinematicBelow_mps), 0.0f, 1.0f);
    if (blend >= 1.0f) return advance_sliding(ego, accel, dt_s);
    Ego rolling = ego;
    advance_rolling(rolling, accel, dt_s);
    if (blend > 0.0f) advance_sliding(ego, accel, dt_s);
    ego.forward_mps = blend * ego.forward_mps + (1 - blend) * rolling.forward_mps;
    if (blend <= 0.0f) ego.forward_mps = rolling.forward_mps;
    ego.sideways_mps = blend * ego.sideways_mps + (1 - blend) * rolling.sideways_mps;
    ego.yaw_rate_rps = blend * ego.yaw_rate_rps + (1 - blend) * rolling.yaw_rate_rps;
}

}  // namespace

float limiter_share(float speed_mps, float speed_limit_mps) {
    return std::clamp((speed_limit_mps - speed_mps) / kLimiterBand_mps, 0.0f, 1.0f);
}

Pedals pedals_of(float steer, float throttle, float brake) {
    return {-steer * kEgoMaxWheelAngle_rad, throttle, brake, false};
}

void advance_ego(Ego& ego, const Pedals& pedals, float speed_limit_mps, float dt_s) {
    const float h = dt_s / kSubsteps;
    for (int i = 0; i < kSubsteps; ++i) {
        ego.wheel_angle_rad += (pedals.wheel_target_rad - ego.wheel_angle_rad) * h / (kSteeringLag_s + h);
        const float accel = pedal_acceleration(ego, pedals, speed_limit_mps, h);
        advance_velocities(ego, accel, h);
        ego.yaw_rad += h * ego.yaw_rate_rps;
        const RoadVelocity velocity = road_velocity(ego);
        ego.x_m += h * velocity.x_mps;
        ego.y_m += h * velocity.y_mps;
    }
}

RoadVelocity road_velocity(const Ego& ego) {
    const float c = std::cos(ego.yaw_rad), s = std::sin(ego.yaw_rad);
    return {c * ego.forward_mps - s * ego.sideways_mps, s * ego.forward_mps + c * ego.sideways_mps};
}

void set_road_velocity(Ego& ego, RoadVelocity velocity) {
    const float c = std::cos(ego.yaw_rad), s = std::sin(ego.yaw_rad);
    ego.forward_mps = c * velocity.x_mps + s * velocity.y_mps;
    ego.sideways_mps = c * velocity.y_mps - s * velocity.x_mps;
}

float ego_speed(const Ego& ego) {
    return std::sqrt(ego.forward_mps * ego.forward_mps + ego.sideways_mps * ego.sideways_mps);
}

}  // namespace semore::driving
