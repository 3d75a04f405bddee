#include "collisions.hpp"

#include "contacts.hpp"
#include "walkers.hpp"

#include <cmath>

namespace semore::driving {
namespace {

constexpr float kReach_m = 8.0f;      // nobody farther away can touch the ego
constexpr float kStruckFor_s = 3.0f;  // a driver who was hit brakes this long

bool near_ego(const Ego& ego, float x_m, float y_m) {
    return std::abs(x_m - ego.x_m) < kReach_m && std::abs(y_m - ego.y_m) < kReach_m;
}

void hit_walkers(const ScenarioConfig& config, WorldState& state, CollisionReport& report) {
    for (int i = 0; i < state.walker_count; ++i) {
        Walker& walker = state.walkers[i];
        if (walker.body.status != BodyStatus::active || !near_ego(state.ego, walker.x_m, walker.y_m)) continue;
        const Box box{{walker.x_m, walker.y_m}, 0, kWalkerLength_m, kWalkerWidth_m};
        const float impulse = hit_person(config, {state.ego}, walker.body, box, {0, walker.speed_y_mps},
                                         config.struck_person_mass_kg, config.walker_mass_kg)
                                  .impulse_ns;
        report.impulse_ns += impulse;
        report.new_hits += impulse > 0;
    }
}

Vec2 vehicle_velocity(const Vehicle& vehicle) {
    return {static_cast<float>(vehicle.direction) * vehicle.speed_mps, vehicle.sideways_mps};
}

void hit_cyclist(const ScenarioConfig& config, WorldState& state, Vehicle& cyclist, const Box& box,
                 CollisionReport& report) {
    const float impulse = hit_person(config, {state.ego}, cyclist.body, box, vehicle_velocity(cyclist),
                                     config.struck_cyclist_mass_kg, config.struck_cyclist_mass_kg)
                              .impulse_ns;
    report.impulse_ns += impulse;
    report.new_hits += impulse > 0;
}

void hit_car(const ScenarioConfig& config, WorldState& state, Vehicle& vehicle, const Box& box,
             CollisionReport& report) {
    const Hit hit = hit_vehicle(config, {state.ego}, vehicle.body, box, vehicle_velocity(vehicle), vehicle.x_m,
                                vehicle.y_m);
    if (!hit.touching) return;
    vehicle.speed_mps +=
        static_cast<float>(vehicle.direction) * hit.normal.x * hit.impulse_ns / config.struck_vehicle_mass_kg;
    vehicle.struck_frames = static_cast<std::int32_t>(kStruckFor_s / config.dt_s);
    report.impulse_ns += hit.impulse_ns;
    report.new_hits += hit.begun;
}

void hit_vehicles(const ScenarioConfig& config, WorldState& state, CollisionReport& report) {
    for (int i = 0; i < state.vehicle_count; ++i) {
        Vehicle& vehicle = state.vehicles[i];
        if (vehicle.body.status != BodyStatus::active) continue;
        const Box box{{vehicle.x_m, vehicle.y_m}, 0, vehicle.length_m, vehicle.width_m};
        if (!near_ego(state.ego, vehicle.x_m, vehicle.y_m))
            vehicle.body.touching = 0;
        else if (vehicle.kind == ActorKind::cyclist)
            hit_cyclist(config, state, vehicle, box, report);
        else
            hit_car(config, state, vehicle, box, report);
    }
}

}  // namespace

CollisionReport resolve_collisions(const ScenarioConfig& config, WorldState& state) {
    CollisionReport report;
    hit_walkers(config, state, report);
    hit_vehicles(config, state, report);
    report.impulse_ns +=
        hit_barrier(config, {state.ego}, free_road(config.road, -1), state.barrier_touching).impulse_ns;
    return report;
}

}  // namespace semore::driving
