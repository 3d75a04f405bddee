// Who touches whom in the open world. A vehicle that reports meets people, cyclists and vehicles as the embedded
// simulator's ego does; two that report, or two that do not, meet as equals.
#include "open_world_state.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kReach_m = 16.0f;  // no two vehicles farther apart can touch

bool near(const OpenVehicle& vehicle, float x_m, float y_m) {
    return std::abs(x_m - vehicle.motion.x_m) < kReach_m && std::abs(y_m - vehicle.motion.y_m) < kReach_m;
}

float mass_kg(const OpenVehicle& vehicle) {
    switch (vehicle.kind) {
        case ActorKind::cyclist: return 95.0f;
        case ActorKind::van: return 2600.0f;
        case ActorKind::truck: return 9000.0f;
        default: return kEgoMass_kg;
    }
}

Vec2 times(Vec2 v, float factor) { return {v.x * factor, v.y * factor}; }

void accelerate(OpenVehicle& vehicle, Vec2 change_mps) {
    const Vec2 velocity = velocity_of(vehicle.motion);
    set_road_velocity(vehicle.motion, {velocity.x + change_mps.x, velocity.y + change_mps.y});
}

void shift(OpenVehicle& vehicle, Vec2 normal, float distance_m) {
    vehicle.motion.x_m += normal.x * distance_m;
    vehicle.motion.y_m += normal.y * distance_m;
}

Hit seen_by_other(const Hit& hit) { return {hit.impulse_ns, times(hit.normal, -1), hit.touching, hit.begun}; }

// Two equals: an inelastic blow, and each gives way by the other's share of the mass.
void bump(const ScenarioConfig& config, OpenState& state, OpenVehicle& first, OpenVehicle& second) {
    const Vec2 v1 = velocity_of(first.motion), v2 = velocity_of(second.motion), closing{v1.x - v2.x, v1.y - v2.y};
    std::uint8_t& touching = state.touching[&first - state.vehicles][&second - state.vehicles];
    const bool begun = !touching;
    Contact contact;
    touching = near(first, second.motion.x_m, second.motion.y_m) &&
               find_contact(first.box(), second.box(), closing, contact);
    if (!touching) return;
    const float kg1 = mass_kg(first), kg2 = mass_kg(second);
    const float closing_mps = std::max(dot(closing, contact.normal), 0.0f);
    const Hit hit{two_body_impulse(kg1, kg2, closing_mps, config.restitution_vehicle), contact.normal, true, begun};
    accelerate(first, times(hit.normal, -hit.impulse_ns / kg1));
    accelerate(second, times(hit.normal, hit.impulse_ns / kg2));
    shift(first, hit.normal, -contact.depth_m * kg2 / (kg1 + kg2));
    shift(second, hit.normal, contact.depth_m * kg1 / (kg1 + kg2));
    record_hit(state, first, second.id, hit);
    record_hit(state, second, first.id, seen_by_other(hit));
}

// What hangs on another vehicle does not give way.
void bump_into_carried(OpenState& state, OpenVehicle& vehicle, const OpenVehicle& carried) {
    const Vec2 v = velocity_of(vehicle.motion), other = velocity_of(carried.motion);
    const Vec2 closing{v.x - other.x, v.y - other.y};
    Contact contact;
    if (!near(vehicle, carried.motion.x_m, carried.motion.y_m) ||
        !find_contact(vehicle.box(), carried.box(), closing, contact))
        return;
    const float closing_mps = std::max(dot(closing, contact.normal), 0.0f), impulse = mass_kg(vehicle) * closing_mps;
    accelerate(vehicle, times(contact.normal, -closing_mps));
    shift(vehicle, contact.normal, -contact.depth_m);
    record_hit(state, vehicle, carried.id, {impulse, contact.normal, true, impulse > 0});
}

void strike_cyclist(const ScenarioConfig& config, OpenState& state, OpenVehicle& striker, OpenVehicle& cyclist) {
    if (!near(striker, cyclist.motion.x_m, cyclist.motion.y_m)) return;
    const Hit hit = hit_person(config, striker.car(), cyclist.body, cyclist.box(), velocity_of(cyclist.motion),
                               config.struck_cyclist_mass_kg, config.struck_cyclist_mass_kg);
    if (hit.impulse_ns <= 0) return;
    cyclist.carrier = striker.id;
    record_hit(state, striker, cyclist.id, hit);
    record_hit(state, cyclist, striker.id, seen_by_other(hit));
    let_go(state, cyclist);
}

void strike_vehicle(const ScenarioConfig& config, OpenState& state, OpenVehicle& striker, OpenVehicle& other) {
    std::uint8_t& touching = state.touching[&striker - state.vehicles][&other - state.vehicles];
    if (!near(striker, other.motion.x_m, other.motion.y_m)) {
        touching = 0;
        return;
    }
    other.body.touching = touching;
    const Hit hit = hit_vehicle(config, striker.car(), other.body, other.box(), velocity_of(other.motion),
                                other.motion.x_m, other.motion.y_m);
    touching = hit.touching;
    if (!hit.touching) return;
    accelerate(other, times(hit.normal, hit.impulse_ns / config.struck_vehicle_mass_kg));
    record_hit(state, striker, other.id, hit);
    if (other.active()) return;
    other.carrier = striker.id;
    let_go(state, other);
    touching = 1;
}

// Each pair is met once: by the one that strikes, or by the first of two equals.
void meet(const ScenarioConfig& config, OpenState& state, OpenVehicle& vehicle, OpenVehicle& other) {
    if (other.body.status == BodyStatus::carried && !other.cyclist() && other.carrier != vehicle.id)
        return bump_into_carried(state, vehicle, other);
    if (!other.active()) return;
    if (vehicle.cyclist() != other.cyclist()) {
        if (other.cyclist()) strike_cyclist(config, state, vehicle, other);
    } else if (vehicle.reporting == other.reporting || vehicle.cyclist()) {
        if (&vehicle < &other) bump(config, state, vehicle, other);
    } else if (vehicle.reporting) {
        strike_vehicle(config, state, vehicle, other);
    }
}

void hit_walkers(const ScenarioConfig& config, OpenState& state, OpenVehicle& striker) {
    for (OpenWalker& actor : state.walkers) {
        Walker& walker = actor.walker;
        if (actor.id == 0 || walker.body.status != BodyStatus::active || !near(striker, walker.x_m, walker.y_m))
            continue;
        const Hit hit = hit_person(config, striker.car(), walker.body, box_of(walker),
                                   {actor.speed_x_mps, walker.speed_y_mps}, config.struck_person_mass_kg,
                                   config.walker_mass_kg);
        if (hit.impulse_ns <= 0) continue;
        actor.carrier = striker.id;
        record_hit(state, striker, actor.id, hit);
    }
}

void hit_fences(const ScenarioConfig& config, OpenState& state, OpenVehicle& vehicle) {
    const Hit hit = hit_barrier(config, vehicle.car(), free_road(config.road, vehicle.motion.y_m > 0 ? 1.0f : -1.0f),
                                vehicle.barrier_touching);
    if (hit.impulse_ns > 0) record_hit(state, vehicle, 0, hit);
}

}  // namespace

void record_hit(OpenState& state, const OpenVehicle& actor, ActorId other, const Hit& hit) {
    if (!actor.reporting || !(hit.impulse_ns > 0 || hit.begun)) return;
    // The larger component is rounded, the smaller one makes up for it: no bit of the norm is lost.
    float x = -hit.normal.x * hit.impulse_ns, y = -hit.normal.y * hit.impulse_ns;
    float& smaller = std::abs(x) < std::abs(y) ? x : y;
    const double larger = std::abs(x) < std::abs(y) ? y : x, norm = hit.impulse_ns;
    smaller = static_cast<float>(std::copysign(std::sqrt(std::max(norm * norm - larger * larger, 0.0)), smaller));
    state.collisions.push_back({actor.id, other, x, y, hit.begun});
}

void resolve_open_collisions(const ScenarioConfig& config, OpenState& state) {
    for (OpenVehicle& vehicle : state.vehicles) {
        if (!vehicle.active()) continue;
        hit_walkers(config, state, vehicle);
        for (OpenVehicle& other : state.vehicles)
            if (other.id != 0 && &other != &vehicle && vehicle.active()) meet(config, state, vehicle, other);
        if (vehicle.active()) hit_fences(config, state, vehicle);
    }
}

}  // namespace semore::driving
