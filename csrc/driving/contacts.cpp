#include "contacts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace semore::driving {
namespace {

constexpr float kBlowFrom_mps = 1.0f;   // slower contacts are inelastic and hook nobody
constexpr float kFrontalCosine = 0.7f;  // a normal this close to straight ahead is a frontal hit
constexpr float kBarrierFriction = 0.3f;
constexpr float kCarriedAhead_m = 0.25f;  // a carried body is held this far before the car's front

Vec2 forward_of(float yaw_rad) { return {std::cos(yaw_rad), std::sin(yaw_rad)}; }

float reach_along(const Box& box, Vec2 forward, Vec2 axis) {
    const Vec2 left{-forward.y, forward.x};
    return 0.5f * (box.length_m * std::abs(dot(forward, axis)) + box.width_m * std::abs(dot(left, axis)));
}

void push_ego(Ego& ego, Vec2 normal, float impulse_ns) {
    const Vec2 velocity = velocity_of(ego);
    set_road_velocity(
        ego, {velocity.x - normal.x * impulse_ns / kEgoMass_kg, velocity.y - normal.y * impulse_ns / kEgoMass_kg});
}

// Somebody soft was touched: carried along after a frontal hit by a moving car, knocked over otherwise.
void strike(const ScenarioConfig& config, const Car& car, Body& body, Vec2 place, Vec2 normal, float car_closing) {
    const Ego& ego = car.motion;
    const Vec2 forward = forward_of(ego.yaw_rad);
    const bool frontal = dot(normal, forward) > kFrontalCosine && car_closing > config.shed_speed_mps;
    body.status = frontal ? BodyStatus::carried : BodyStatus::down;
    if (!frontal) return;
    const Vec2 left{-forward.y, forward.x};
    const float sideways = dot({place.x - ego.x_m, place.y - ego.y_m}, left);
    body.carried_x_m = 0.5f * car.length_m + kCarriedAhead_m;
    body.carried_y_m = std::clamp(sideways, -0.5f * car.width_m, 0.5f * car.width_m);
    body.peak_mps = ego.forward_mps;
}

// Overlapping bodies move apart along the normal.
void part(Ego& ego, float& x_m, float& y_m, const Contact& contact) {
    x_m += contact.normal.x * contact.depth_m;
    y_m += contact.normal.y * 0.5f * contact.depth_m;
    ego.y_m -= contact.normal.y * 0.5f * contact.depth_m;
}

void hook(const Ego& ego, Body& body, float x_m, float y_m) {
    const Vec2 forward = forward_of(ego.yaw_rad), left{-forward.y, forward.x};
    const Vec2 apart{x_m - ego.x_m, y_m - ego.y_m};
    body = Body{};
    body.status = BodyStatus::carried;
    body.carried_x_m = dot(apart, forward);
    body.carried_y_m = dot(apart, left);
    body.peak_mps = ego.forward_mps;
}

// The blow takes the velocity into the barrier away; what stays points along the car, which keeps its yaw.
float first_impact(Ego& ego, float closing_mps) {
    RoadVelocity velocity = road_velocity(ego);
    velocity.y_mps = 0;
    set_road_velocity(ego, velocity);
    return kEgoMass_kg * closing_mps;
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

Box box_of(const Car& car) {
    return {{car.motion.x_m, car.motion.y_m}, car.motion.yaw_rad, car.length_m, car.width_m};
}

Vec2 velocity_of(const Ego& ego) {
    const RoadVelocity velocity = road_velocity(ego);
    return {velocity.x_mps, velocity.y_mps};
}

// The car's own approach meets the struck mass, the other's approach only the mass of whoever approaches:
// a standing car that is walked into feels a walker.
Hit hit_person(const ScenarioConfig& config, const Car& car, Body& body, const Box& box, Vec2 velocity, float struck_kg,
               float own_kg) {
    const Vec2 car_v = velocity_of(car.motion);
    Contact contact;
    if (!find_contact(box_of(car), box, {car_v.x - velocity.x, car_v.y - velocity.y}, contact)) return {};
    const float car_closing = dot(car_v, contact.normal), own_closing = -dot(velocity, contact.normal);
    // A rider who flees reduces what the car's approach is worth.
    const float struck_closing = std::max(0.0f, car_closing + std::min(own_closing, 0.0f));
    const float walked_closing = std::max(0.0f, own_closing + std::min(car_closing, 0.0f));
    const float impulse = two_body_impulse(kEgoMass_kg, struck_kg, struck_closing, config.restitution_soft) +
                          two_body_impulse(kEgoMass_kg, own_kg, walked_closing, config.restitution_soft);
    if (impulse <= 0) return {};
    push_ego(car.motion, contact.normal, impulse);
    strike(config, car, body, box.centre, contact.normal, struck_closing);
    return {impulse, contact.normal, true, true};
}

Hit hit_vehicle(const ScenarioConfig& config, const Car& car, Body& body, const Box& box, Vec2 velocity, float& x_m,
                float& y_m) {
    Ego& ego = car.motion;
    const Vec2 car_v = velocity_of(ego);
    const Vec2 closing_v{car_v.x - velocity.x, car_v.y - velocity.y};
    Contact contact;
    const bool touched_before = body.touching;
    body.touching = find_contact(box_of(car), box, closing_v, contact);
    if (!body.touching) return {};
    const float closing = dot(closing_v, contact.normal);
    // A slight touch pushes, a blow hooks the vehicle to the car until the car brakes.
    const bool blow = closing > kBlowFrom_mps;
    const float bounce = blow ? config.restitution_vehicle : 0;
    float impulse = two_body_impulse(kEgoMass_kg, config.struck_vehicle_mass_kg, std::max(closing, 0.0f), bounce);
    if (touched_before) impulse = std::min(impulse, config.contact_impulse_cap_ns);
    push_ego(ego, contact.normal, impulse);
    part(ego, x_m, y_m, contact);
    if (blow && dot(car_v, contact.normal) > kBlowFrom_mps) hook(ego, body, x_m, y_m);
    return {impulse, contact.normal, true, !touched_before};
}

Free free_road(const RoadView& road, float side) {
    const float inner = 0.5f * road.median_width_m;
    if (road.median_width_m <= 0) return {-road.fence_y_m, road.fence_y_m};
    return side > 0 ? Free{inner, road.fence_y_m} : Free{-road.fence_y_m, -inner};
}

Hit hit_barrier(const ScenarioConfig& config, const Car& car, const Free& free, std::uint8_t& touching) {
    Ego& ego = car.motion;
    const float reach = reach_along(box_of(car), forward_of(ego.yaw_rad), {0, 1});
    const float beyond_left = ego.y_m + reach - free.left_m, beyond_right = free.right_m - (ego.y_m - reach);
    const bool touched_before = touching;
    touching = std::max(beyond_left, beyond_right) > 0;
    if (!touching) return {};
    const float side = beyond_left > beyond_right ? 1.0f : -1.0f;
    ego.y_m -= side * std::max(beyond_left, beyond_right);
    const float closing = side * road_velocity(ego).y_mps;
    if (closing <= 0) return {0, {0, side}, true, !touched_before};
    const float impulse =
        touched_before ? std::min(kEgoMass_kg * closing, config.contact_impulse_cap_ns) : first_impact(ego, closing);
    const float rubbed = std::min(kBarrierFriction * impulse / kEgoMass_kg, std::abs(ego.forward_mps));
    ego.forward_mps -= std::copysign(rubbed, ego.forward_mps);
    ego.sideways_mps = 0;
    return {impulse, {0, side}, true, !touched_before};
}

}  // namespace semore::driving
