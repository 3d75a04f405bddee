#include "director.hpp"

#include "engine.hpp"
#include "road.hpp"
#include "rules.hpp"
#include "traffic.hpp"
#include "traffic_place.hpp"
#include "views.hpp"
#include "walkers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace semore::driving {
namespace {

void check_rows(std::size_t given, int wanted, const char* who) {
    if (given != static_cast<std::size_t>(wanted))
        throw std::invalid_argument("Director.advance: " + std::to_string(given) + " " + who + " were seen, there are " +
                                    std::to_string(wanted));
}

BodyStatus status_of(Seen seen) {
    if (seen == Seen::up) return BodyStatus::active;
    return seen == Seen::gone ? BodyStatus::gone : BodyStatus::down;
}

// The speed with which from + speed * dt rounds to exactly `to`, as the embedded simulator computes in float.
float speed_between(float from_m, float to_m, float dt_s) {
    const float up = std::numeric_limits<float>::infinity();
    const float speed = (to_m - from_m) / dt_s;
    float lower = speed, upper = speed;
    for (int i = 0; i < 64; ++i) {
        if (from_m + lower * dt_s == to_m) return lower;
        if (from_m + upper * dt_s == to_m) return upper;
        lower = std::nextafter(lower, -up);
        upper = std::nextafter(upper, up);
    }
    return speed;
}

WalkerPlace place_of(const Walker& walker) {
    WalkerPlace place{walker.x_m, walker.y_m, facing_of(walker), {}, walker.style};
    std::copy(walker.colour, walker.colour + 3, place.colour);
    return place;
}

VehiclePlace place_of(const Vehicle& vehicle) {
    VehiclePlace place{vehicle.x_m,      vehicle.y_m,      vehicle.speed_mps, vehicle.desired_mps, vehicle.lane_offset_m,
                       vehicle.length_m, vehicle.width_m,  vehicle.height_m,  vehicle.kind,        vehicle.direction,
                       vehicle.lane,     vehicle.lights,   vehicle.style,     {}};
    std::copy(vehicle.colour, vehicle.colour + 3, place.colour);
    return place;
}

// A body keeps its shape and paint when its slot is used again: the other world cannot repaint it.
void keep_look(Vehicle& vehicle, const Vehicle& before) {
    vehicle.kind = before.kind;
    vehicle.lights = before.lights;
    vehicle.style = before.style;
    vehicle.length_m = before.length_m;
    vehicle.width_m = before.width_m;
    vehicle.height_m = before.height_m;
    std::copy(before.colour, before.colour + 3, vehicle.colour);
}

}  // namespace

Director::Director(const ScenarioConfig& config) : config_(config) {
    validate(config_);
    start(0);
}

void Director::start(std::uint64_t seed) {
    place_episode(config_, state_, seed);
    sum_ = TickResult{};
}

void Director::begin() {
    begin_counting(state_);
    sum_ = TickResult{};
}

EgoPlace Director::ego() const {
    const Ego& ego = state_.ego;
    return {ego.x_m, ego.y_m, nearest_lane(config_.road, ego.y_m).lane, ego_lights(config_.weather)};
}

std::vector<WalkerPlace> Director::walkers() const {
    std::vector<WalkerPlace> places;
    for (int i = 0; i < state_.walker_count; ++i) places.push_back(place_of(state_.walkers[i]));
    return places;
}

std::vector<VehiclePlace> Director::vehicles() const {
    std::vector<VehiclePlace> places;
    for (int i = 0; i < state_.vehicle_count; ++i) places.push_back(place_of(state_.vehicles[i]));
    return places;
}

void Director::advance(float ego_x_m, const std::vector<SeenBody>& walkers, const std::vector<SeenBody>& vehicles,
                       std::vector<WalkerOrder>& walker_orders, std::vector<VehicleOrder>& vehicle_orders) {
    check_rows(walkers.size(), state_.walker_count, "walkers");
    check_rows(vehicles.size(), state_.vehicle_count, "vehicles");
    state_.ego.x_m = ego_x_m;
    for (std::size_t i = 0; i < walkers.size(); ++i) {
        state_.walkers[i].y_m = walkers[i].y_m;
        state_.walkers[i].body.status = status_of(walkers[i].status);
    }
    for (std::size_t i = 0; i < vehicles.size(); ++i) {
        Vehicle& vehicle = state_.vehicles[i];
        vehicle.x_m = vehicles[i].x_m;
        vehicle.y_m = vehicles[i].y_m;
        vehicle.lane = static_cast<std::int8_t>(nearest_lane(config_.road, vehicle.y_m).lane);
        vehicle.body.status = status_of(vehicles[i].status);
    }
    const std::vector<Walker> before(state_.walkers, state_.walkers + state_.walker_count);
    advance_people(config_, state_);
    walker_orders.assign(walkers.size(), WalkerOrder{});
    vehicle_orders.assign(vehicles.size(), VehicleOrder{});
    for (std::size_t i = 0; i < walkers.size(); ++i) order_walker(static_cast<int>(i), before[i], walker_orders[i]);
    for (std::size_t i = 0; i < vehicles.size(); ++i) order_vehicle(static_cast<int>(i), vehicle_orders[i]);
}

void Director::order_walker(int slot, const Walker& before, WalkerOrder& order) const {
    const Walker& walker = state_.walkers[slot];
    order.place = place_of(walker);
    if (walker.group != before.group) {
        order.order = Order::fresh;
    } else if (walker.body.status == BodyStatus::active && walker.speed_y_mps != 0) {
        order.speed_y_mps = walker.speed_y_mps;
        if (before.speed_y_mps == 0) order.order = Order::walk;
    } else if (walker.body.status == BodyStatus::active && before.speed_y_mps != 0) {
        order.speed_y_mps = speed_between(before.y_m, walker.y_m, config_.dt_s);
        order.order = Order::stop;
    }
}

void Director::order_vehicle(int slot, VehicleOrder& order) {
    Vehicle& vehicle = state_.vehicles[slot];
    const Vehicle before = vehicle;
    if (needs_new_place(state_, vehicle)) {
        recycle_vehicle(config_, state_, slot);
        keep_look(vehicle, before);
        order.moved = true;
    }
    if (vehicle.kind == ActorKind::cyclist && vehicle.body.status == BodyStatus::active)
        maybe_swerve(config_, state_, slot);
    order.swerved = vehicle.lane_offset_m != before.lane_offset_m;
    order.place = place_of(vehicle);
}

const TickResult& Director::judge(const EgoState& ego, Control control, float crash_intensity_ns, int new_hits) {
    TickResult tick = score(config_, ego, control, crash_intensity_ns, new_hits);
    count_tick(config_, state_, ego, tick);
    add(sum_, tick);
    return sum_;
}

TickResult Director::take() {
    const TickResult sum = sum_;
    sum_ = TickResult{};
    return sum;
}

}  // namespace semore::driving
