#include "collisions.hpp"

#include "ego.hpp"
#include "walkers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace semore::driving {
namespace {

constexpr float kBlowFrom_mps = 1.0f;   // slower contacts are inelastic and hook nobody
constexpr float kStruckFor_s = 3.0f;    // a driver who was hit brakes this long
constexpr float kFrontalCosine = 0.7f;  // a normal this close to straight ahead is a frontal hit
constexpr float kBarrierFriction = 0.3f;
constexpr float kReach_m = 8.0f;            // nobody farther away can touch the ego
constexpr float kCarriedAhead_m = 0.25f;  // a carried body is held this far before the car's front

float dot(Vec2 a, Vec2 b) { return a.x * b.x + a.y * b.y; }

Vec2 forward_of(float yaw_rad) { return {std::cos(yaw_rad), std::sin(yaw_rad)}; }

float reach_along(const Box& box, Vec2 forward, Vec2 axis) {
    const Vec2 left{-forward.y, forward.x};
    return 0.5f * (box.length_m * std::abs(dot(forward, axis)) + box.width_m * std::abs(dot(left, axis)));
}

Vec2 ego_velocity(const Ego& ego) {
    const RoadVelocity velocity = road_velocity(ego);
    return {velocity.x_mps, velocity.y_mps};
}

void push_ego(Ego& ego, Vec2 normal, float impulse_ns) {
    const Vec2 velocity = ego_velocity(ego);
    set_road_velocity(
        ego, {velocity.x - normal.x * impulse_ns / kEgoMass_kg, velocity.y - normal.y * impulse_ns / kEgoMass_kg});
}

Box ego_box(const Ego& ego) { return {{ego.x_m, ego.y_m}, ego.yaw_rad, kEgoLength_m, kEgoWidth_m}; }

bool near_ego(const Ego& ego, float x_m, float y_m) {
    return std::abs(x_m - ego.x_m) < kReach_m && std::abs(y_m - ego.y_m) < kReach_m;
}

// Somebody soft was touched: carried along after a frontal hit by a moving car, knocked over otherwise.
void strike(const ScenarioConfig& config, WorldState& state, Body& body, Vec2 place, Vec2 normal, float ego_closing) {
    const Ego& ego = state.ego;
    const Vec2 forward = forward_of(ego.yaw_rad);
    const bool frontal = dot(normal, forward) > kFrontalCosine && ego_closing > config.shed_speed_mps;
    body.status = frontal ? BodyStatus::carried : BodyStatus::down;
    if (!frontal) return;
    const Vec2 left{-forward.y, forward.x};
    const float sideways = dot({place.x - ego.x_m, place.y - ego.y_m}, left);
    body.carried_x_m = 0.5f * kEgoLength_m + kCarriedAhead_m;
    body.carried_y_m = std::clamp(sideways, -0.5f * kEgoWidth_m, 0.5f * kEgoWidth_m);
    body.peak_mps = ego.forward_mps;
}

// The ego's own approach meets the struck mass, the other's approach only the mass of whoever approaches:
// a standing car that is walked into feels a walker.
float hit_soft(const ScenarioConfig& config, WorldState& state, Body& body, const Box& box, Vec2 velocity,
               float struck_kg, float own_kg) {
    const Vec2 ego_v = ego_velocity(state.ego);
    Contact contact;
    if (!find_contact(ego_box(state.ego), box, {ego_v.x - velocity.x, ego_v.y - velocity.y}, contact)) return 0;
    const float ego_closing = dot(ego_v, contact.normal), own_closing = -dot(velocity, contact.normal);
    // A rider who flees reduces what the ego's approach is worth.
    const float struck_closing = std::max(0.0f, ego_closing + std::min(own_closing, 0.0f));
    const float walked_closing = std::max(0.0f, own_closing + std::min(ego_closing, 0.0f));
    const float impulse = two_body_impulse(kEgoMass_kg, struck_kg, struck_closing, config.restitution_soft) +
                          two_body_impulse(kEgoMass_kg, own_kg, walked_closing, config.restitution_soft);
    if (impulse <= 0) return 0;
    push_ego(state.ego, contact.normal, impulse);
    strike(config, state, body, box.centre, contact.normal, struck_closing);
    return impulse;
}

void hit_walkers(const ScenarioConfig& config, WorldState& state, CollisionReport& report) {
    for (int i = 0; i < state.walker_count; ++i) {
        Walker& walker = state.walkers[i];
        if (walker.body.status != BodyStatus::active || !near_ego(state.ego, walker.x_m, walker.y_m)) continue;
        const Box box{{walker.x_m, walker.y_m}, 0, kWalkerLength_m, kWalkerWidth_m};
        const float impulse = hit_soft(config, state, walker.body, box, {0, walker.speed_y_mps},
                                       config.struck_person_mass_kg, config.walker_mass_kg);
        report.impulse_ns += impulse;
        report.new_hits += impulse > 0;
    }
}

Vec2 vehicle_velocity(const Vehicle& vehicle) {
    return {static_cast<float>(vehicle.direction) * vehicle.speed_mps, vehicle.sideways_mps};
}

// Overlapping bodies move apart along the normal.
void part(Ego& ego, Vehicle& vehicle, const Contact& contact) {
    vehicle.x_m += contact.normal.x * contact.depth_m;
    vehicle.y_m += contact.normal.y * 0.5f * contact.depth_m;
    ego.y_m -= contact.normal.y * 0.5f * contact.depth_m;
}

void hook(const Ego& ego, Vehicle& vehicle) {
    const Vec2 forward = forward_of(ego.yaw_rad), left{-forward.y, forward.x};
    const Vec2 apart{vehicle.x_m - ego.x_m, vehicle.y_m - ego.y_m};
    vehicle.body = Body{};
    vehicle.body.status = BodyStatus::carried;
    vehicle.body.carried_x_m = dot(apart, forward);
    vehicle.body.carried_y_m = dot(apart, left);
    vehicle.body.peak_mps = ego.forward_mps;
}

// A slight touch pushes, a blow hooks the vehicle to the ego until the ego brakes.
float hit_vehicle(const ScenarioConfig& config, WorldState& state, Vehicle& vehicle, int& new_hits) {
    Ego& ego = state.ego;
    const Vec2 ego_v = ego_velocity(ego), velocity = vehicle_velocity(vehicle);
    const Vec2 closing_v{ego_v.x - velocity.x, ego_v.y - velocity.y};
    const Box box{{vehicle.x_m, vehicle.y_m}, 0, vehicle.length_m, vehicle.width_m};
    Contact contact;
    const bool touched_before = vehicle.body.touching;
    vehicle.body.touching = find_contact(ego_box(ego), box, closing_v, contact);
    if (!vehicle.body.touching) return 0;
    const float closing = dot(closing_v, contact.normal);
    const bool blow = closing > kBlowFrom_mps;
    const float bounce = blow ? config.restitution_vehicle : 0;
    float impulse = two_body_impulse(kEgoMass_kg, config.struck_vehicle_mass_kg, std::max(closing, 0.0f), bounce);
    if (touched_before) impulse = std::min(impulse, config.contact_impulse_cap_ns);
    new_hits += !touched_before;
    push_ego(ego, contact.normal, impulse);
    vehicle.speed_mps +=
        static_cast<float>(vehicle.direction) * contact.normal.x * impulse / config.struck_vehicle_mass_kg;
    vehicle.struck_frames = static_cast<std::int32_t>(kStruckFor_s / config.dt_s);
    part(ego, vehicle, contact);
    if (blow && dot(ego_v, contact.normal) > kBlowFrom_mps) hook(ego, vehicle);
    return impulse;
}

void hit_vehicles(const ScenarioConfig& config, WorldState& state, CollisionReport& report) {
    for (int i = 0; i < state.vehicle_count; ++i) {
        Vehicle& vehicle = state.vehicles[i];
        if (vehicle.body.status != BodyStatus::active) continue;
        if (!near_ego(state.ego, vehicle.x_m, vehicle.y_m)) {
            vehicle.body.touching = 0;
        } else if (vehicle.kind == ActorKind::cyclist) {
            const Box box{{vehicle.x_m, vehicle.y_m}, 0, vehicle.length_m, vehicle.width_m};
            const float impulse = hit_soft(config, state, vehicle.body, box, vehicle_velocity(vehicle),
                                           config.struck_cyclist_mass_kg, config.struck_cyclist_mass_kg);
            report.impulse_ns += impulse;
            report.new_hits += impulse > 0;
        } else {
            report.impulse_ns += hit_vehicle(config, state, vehicle, report.new_hits);
        }
    }
}

// The y range that the ego's corners may use.
struct Free {
    float right_m, left_m;
};

Free free_road(const RoadView& road) {
    return {-road.fence_y_m, road.median_width_m > 0 ? -0.5f * road.median_width_m : road.fence_y_m};
}

// The blow takes the velocity into the barrier away; what stays points along the car, which keeps its yaw.
float first_impact(Ego& ego, float closing_mps) {
    RoadVelocity velocity = road_velocity(ego);
    velocity.y_mps = 0;
    set_road_velocity(ego, velocity);
    return kEgoMass_kg * closing_mps;
}

// Fences, guard rails and the median's barrier. A car that is not steered away keeps heading into the barrier and
// scrapes along it, so that the contact lasts until the driver reacts.
float hit_barrier(const ScenarioConfig& config, WorldState& state) {
    Ego& ego = state.ego;
    const float reach = reach_along(ego_box(ego), forward_of(ego.yaw_rad), {0, 1});
    const Free free = free_road(config.road);
    const float beyond_left = ego.y_m + reach - free.left_m, beyond_right = free.right_m - (ego.y_m - reach);
    const bool touched_before = state.barrier_touching;
    state.barrier_touching = std::max(beyond_left, beyond_right) > 0;
    if (!state.barrier_touching) return 0;
    const float side = beyond_left > beyond_right ? 1.0f : -1.0f;
    ego.y_m -= side * std::max(beyond_left, beyond_right);
    const float closing = side * road_velocity(ego).y_mps;
    if (closing <= 0) return 0;
    const float impulse =
        touched_before ? std::min(kEgoMass_kg * closing, config.contact_impulse_cap_ns) : first_impact(ego, closing);
    const float rubbed = std::min(kBarrierFriction * impulse / kEgoMass_kg, std::abs(ego.forward_mps));
    ego.forward_mps -= std::copysign(rubbed, ego.forward_mps);
    ego.sideways_mps = 0;
    return impulse;
}

}  // namespace

bool find_contact(const Box& first, const Box& second, Vec2 closing_mps, Contact& contact) {
    const Vec2 forward_1 = forward_of(first.yaw_rad), forward_2 = forward_of(second.yaw_rad);
    const Vec2 axes[4] = {forward_1, {-forward_1.y, forward_1.x}, forward_2, {-forward_2.y, forward_2.x}};
    const Vec2 apart{second.centre.x - first.centre.x, second.centre.y - first.centre.y};
    float shortest_s = std::numeric_limits<float>::infinity();
    for (Vec2 axis : axes) {
        const float along = dot(apart, axis);
        const float depth =
            reach_along(first, forward_1, axis) + reach_along(second, forward_2, axis) - std::abs(along);
        if (depth <= 0) return false;
        const Vec2 normal = along >= 0 ? axis : Vec2{-axis.x, -axis.y};
        const float since_s = depth / std::max(dot(closing_mps, normal), 1e-3f);
        if (since_s >= shortest_s) continue;
        shortest_s = since_s;
        contact = {normal, depth};
    }
    return true;
}

float two_body_impulse(float first_kg, float second_kg, float closing_mps, float restitution) {
    return (1 + restitution) * closing_mps * first_kg * second_kg / (first_kg + second_kg);
}

CollisionReport resolve_collisions(const ScenarioConfig& config, WorldState& state) {
    CollisionReport report;
    hit_walkers(config, state, report);
    hit_vehicles(config, state, report);
    report.impulse_ns += hit_barrier(config, state);
    return report;
}

}  // namespace semore::driving
