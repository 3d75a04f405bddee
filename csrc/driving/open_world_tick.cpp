// Motion of the open world, in the embedded simulator's order.
#include "open_world_state.hpp"

#include "bodies.hpp"
#include "traffic.hpp"
#include "views.hpp"
#include "walkers.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kBarrierHalf_m = 0.3f;  // of the wall on the median, which people cannot climb

// Fences and the median's wall stop people too.
float kept_on_road(const RoadView& road, float from_y_m, float y_m) {
    const float outer = road.fence_y_m - 0.5f * kWalkerWidth_m;
    const float inner = road.median_width_m > 0 ? kBarrierHalf_m + 0.5f * kWalkerWidth_m : -outer;
    return from_y_m > 0 ? std::clamp(y_m, inner, outer) : std::clamp(y_m, -outer, -inner);
}

// Whoever stops or slows down still ends the stride begun: the legs move on at the faster of two ticks' paces.
void walk(const ScenarioConfig& config, OpenWalker& actor) {
    Walker& walker = actor.walker;
    const Vec2 speed{actor.speed_x_mps, walker.speed_y_mps};
    if (walker.body.status != BodyStatus::active) return;
    const float before_mps = actor.pace_mps;
    actor.pace_mps = std::sqrt(dot(speed, speed));
    walker.phase_rad = walking_phase(walker.phase_rad, std::max(actor.pace_mps, before_mps), config.dt_s);
    const float from_y_m = walker.y_m;
    walker.x_m += speed.x * config.dt_s;
    walker.y_m = kept_on_road(config.road, from_y_m, from_y_m + speed.y * config.dt_s);
}

void drive(const ScenarioConfig& config, OpenVehicle& vehicle) {
    if (!vehicle.active()) return;
    advance_ego(vehicle.motion, vehicle.pedals, vehicle.speed_limit_mps, config.dt_s);
    if (vehicle.cyclist())
        vehicle.phase_rad = pedalling_phase(vehicle.phase_rad, std::abs(vehicle.motion.forward_mps), config.dt_s);
}

// The drag of somebody carried acts against the car's heading.
void record_drag(OpenState& state, const OpenVehicle& carrier, ActorId other, float impulse_ns) {
    const float yaw = carrier.motion.yaw_rad;
    if (impulse_ns > 0) record_hit(state, carrier, other, {impulse_ns, {std::cos(yaw), std::sin(yaw)}, true, false});
}

void carry_on(const ScenarioConfig& config, OpenState& state, OpenActor& actor, Body& body, float struck_kg, float& x_m,
              float& y_m) {
    if (body.status == BodyStatus::down) return lie(config, body, x_m);
    if (body.status != BodyStatus::carried) return;
    OpenVehicle& carrier = *state.find_vehicle(actor.carrier);
    record_drag(state, carrier, actor.id, carry_person(config, carrier.car(), body, struck_kg, x_m, y_m));
}

void carry_on(const ScenarioConfig& config, OpenState& state, OpenVehicle& vehicle) {
    Ego& motion = vehicle.motion;
    if (vehicle.cyclist())
        return carry_on(config, state, vehicle, vehicle.body, config.struck_cyclist_mass_kg, motion.x_m, motion.y_m);
    if (vehicle.body.status != BodyStatus::carried) return;
    OpenVehicle& carrier = *state.find_vehicle(vehicle.carrier);
    record_drag(state, carrier, vehicle.id,
                carry_vehicle(config, carrier.car(), vehicle.body, vehicle.width_m, motion.x_m, motion.y_m));
    set_road_velocity(motion, road_velocity(carrier.motion));
    motion.yaw_rate_rps = 0;
    if (vehicle.active()) state.touching[&carrier - state.vehicles][&vehicle - state.vehicles] = 0;
}

void settle(const ScenarioConfig& config, OpenActor& actor, Vec2 velocity) {
    actor.z_m = 0;
    actor.acceleration = {(velocity.x - actor.velocity.x) / config.dt_s, (velocity.y - actor.velocity.y) / config.dt_s};
    actor.velocity = velocity;
}

Vec2 struck_velocity(OpenState& state, const Body& body, ActorId carrier, Vec2 own) {
    static const Ego nobody;
    const OpenVehicle* with = state.find_vehicle(carrier);
    const RoadVelocity seen = velocity_of(body, with ? with->motion : nobody, {own.x, own.y});
    return {seen.x_mps, seen.y_mps};
}

void put_down(Body& body, ActorId carrier, OpenActor& actor, BodyStatus status) {
    if (body.status != BodyStatus::carried || actor.carrier != carrier) return;
    body = Body{};
    body.status = status;
}

}  // namespace

Box box_of(const Walker& walker) { return {{walker.x_m, walker.y_m}, 0, kWalkerLength_m, kWalkerWidth_m}; }

Vec2 velocity_of(OpenState& state, const OpenWalker& walker) {
    return struck_velocity(state, walker.walker.body, walker.carrier, {walker.speed_x_mps, walker.walker.speed_y_mps});
}

Vec2 velocity_of(OpenState& state, const OpenVehicle& vehicle) {
    return struck_velocity(state, vehicle.body, vehicle.carrier, velocity_of(vehicle.motion));
}

void let_go(OpenState& state, const OpenVehicle& vehicle) {
    const auto slot = &vehicle - state.vehicles;
    for (OpenWalker& walker : state.walkers) put_down(walker.walker.body, vehicle.id, walker, BodyStatus::down);
    for (OpenVehicle& other : state.vehicles) {
        put_down(other.body, vehicle.id, other, other.cyclist() ? BodyStatus::down : BodyStatus::active);
        state.touching[slot][&other - state.vehicles] = state.touching[&other - state.vehicles][slot] = 0;
    }
}

void advance_open_world(const ScenarioConfig& config, OpenState& state) {
    state.collisions.clear();
    for (OpenWalker& walker : state.walkers)
        if (walker.id != 0) walk(config, walker);
    for (OpenVehicle& vehicle : state.vehicles) drive(config, vehicle);
    resolve_open_collisions(config, state);
    for (OpenWalker& w : state.walkers)
        carry_on(config, state, w, w.walker.body, config.struck_person_mass_kg, w.walker.x_m, w.walker.y_m);
    for (OpenVehicle& vehicle : state.vehicles) carry_on(config, state, vehicle);
    for (OpenWalker& walker : state.walkers) settle(config, walker, velocity_of(state, walker));
    for (OpenVehicle& vehicle : state.vehicles) settle(config, vehicle, velocity_of(state, vehicle));
}

}  // namespace semore::driving
