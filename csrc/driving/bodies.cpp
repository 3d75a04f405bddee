#include "bodies.hpp"

#include "ego.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kGravity_mps2 = 9.81f;
constexpr float kSlideBraking_mps2 = 6.0f;
constexpr float kLiesFor_s = 2.0f;
constexpr float kClearance_m = 0.3f;

void follow_ego(const Ego& ego, const Body& body, float& x_m, float& y_m) {
    const float c = std::cos(ego.yaw_rad), s = std::sin(ego.yaw_rad);
    x_m = ego.x_m + c * body.carried_x_m - s * body.carried_y_m;
    y_m = ego.y_m + s * body.carried_x_m + c * body.carried_y_m;
}

// A body rolls off to the front.
void shed_body(const Car& car, Body& body, float& x_m, float& y_m) {
    body.status = BodyStatus::down;
    body.slide_mps = road_velocity(car.motion).x_mps;
    body.carried_x_m = 0.5f * car.length_m + 1.0f;
    follow_ego(car.motion, body, x_m, y_m);
}

// A vehicle comes free with a little clearance.
void shed_vehicle(const Car& car, Body& body, float width_m, float& x_m, float& y_m) {
    body.status = BodyStatus::active;
    body.touching = 0;
    const bool beside = std::abs(body.carried_y_m) > 0.5f * (car.width_m + width_m) - kClearance_m;
    float& axis = beside ? body.carried_y_m : body.carried_x_m;
    axis += std::copysign(kClearance_m, axis);
    follow_ego(car.motion, body, x_m, y_m);
}

// Friction of the carried body or vehicle on the road, felt by the ego as a lasting contact.
float drag_of(const ScenarioConfig& config, float struck_kg) {
    return std::min(config.carried_friction * struck_kg * kGravity_mps2 * config.dt_s, config.contact_impulse_cap_ns);
}

// Somebody on the bonnet comes off only where the ego stands: a hit costs the driver a stop.
bool is_person_shed(const ScenarioConfig& config, const Ego& ego) { return ego.forward_mps < config.shed_speed_mps; }

bool is_vehicle_shed(const ScenarioConfig& config, const Ego& ego, Body& body) {
    body.peak_mps = std::max(body.peak_mps, ego.forward_mps);
    return ego.forward_mps < config.shed_speed_mps || ego.forward_mps < body.peak_mps - config.shed_speed_drop_mps;
}

// The impulse of one more tick of carrying; the first tick's is the blow itself, counted where it happened. Whoever is
// carried is not pushed while the ego has slowed enough for the time since the contact: a tap on the brake does not do,
// or a blind driver who taps it every second would never be ended by the collision rule.
float carry(const ScenarioConfig& config, Ego& ego, Body& body, float struck_kg, float& x_m, float& y_m) {
    follow_ego(ego, body, x_m, y_m);
    const float slowing_mps = config.carried_braking_mps2 * config.dt_s * static_cast<float>(++body.carried_frames);
    if (!body.touching) {
        body.touching = 1;
        return 0;
    }
    if (ego.forward_mps < body.peak_mps - slowing_mps) return 0;
    const float impulse = drag_of(config, struck_kg);
    ego.forward_mps -= impulse / kEgoMass_kg;
    return impulse;
}

}  // namespace

void lie(const ScenarioConfig& config, Body& body, float& x_m) {
    x_m += body.slide_mps * config.dt_s;
    const float change = kSlideBraking_mps2 * config.dt_s;
    body.slide_mps = std::abs(body.slide_mps) < change ? 0 : body.slide_mps - std::copysign(change, body.slide_mps);
    body.down_frames += 1;
    if (static_cast<float>(body.down_frames) * config.dt_s >= kLiesFor_s) body.status = BodyStatus::gone;
}

float carry_person(const ScenarioConfig& config, const Car& car, Body& body, float struck_kg, float& x_m, float& y_m) {
    if (!is_person_shed(config, car.motion)) return carry(config, car.motion, body, struck_kg, x_m, y_m);
    shed_body(car, body, x_m, y_m);
    return 0;
}

float carry_vehicle(const ScenarioConfig& config, const Car& car, Body& body, float width_m, float& x_m, float& y_m) {
    if (!is_vehicle_shed(config, car.motion, body))
        return carry(config, car.motion, body, config.struck_vehicle_mass_kg, x_m, y_m);
    shed_vehicle(car, body, width_m, x_m, y_m);
    return 0;
}

namespace {

float advance_body(const ScenarioConfig& config, Ego& ego, Body& body, float struck_kg, float& x_m, float& y_m) {
    if (body.status == BodyStatus::down) lie(config, body, x_m);
    return body.status == BodyStatus::carried ? carry_person(config, {ego}, body, struck_kg, x_m, y_m) : 0;
}

float advance_hooked(const ScenarioConfig& config, Ego& ego, Vehicle& vehicle) {
    if (vehicle.body.status != BodyStatus::carried) return 0;
    const float impulse =
        carry_vehicle(config, {ego}, vehicle.body, vehicle.width_m, vehicle.x_m, vehicle.y_m);
    if (vehicle.body.status == BodyStatus::active)
        vehicle.speed_mps = static_cast<float>(vehicle.direction) * road_velocity(ego).x_mps;
    return impulse;
}

}  // namespace

float advance_bodies(const ScenarioConfig& config, WorldState& state) {
    float impulse = 0;
    for (int i = 0; i < state.walker_count; ++i) {
        Walker& walker = state.walkers[i];
        impulse += advance_body(config, state.ego, walker.body, config.struck_person_mass_kg, walker.x_m, walker.y_m);
    }
    for (int i = 0; i < state.vehicle_count; ++i) {
        Vehicle& vehicle = state.vehicles[i];
        impulse +=
            vehicle.kind == ActorKind::cyclist
                ? advance_body(config, state.ego, vehicle.body, config.struck_cyclist_mass_kg, vehicle.x_m, vehicle.y_m)
                : advance_hooked(config, state.ego, vehicle);
    }
    return impulse;
}

}  // namespace semore::driving
