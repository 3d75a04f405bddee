// Who is in the open world, and what callers tell them.
#include "open_world.hpp"

#include "walkers.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace semore::driving {
namespace {

constexpr float kFarthest_m = 1e5f, kHighest_m = 1e4f, kWildest_rad = 1e4f, kFastest_mps = 200.0f;
constexpr float kHandBrake = 0.6f;  // of the foot brake: it holds the rear wheels alone
constexpr int kAllLights = lights_low_beam | lights_high_beam | lights_brake | lights_tail | lights_beacon;

void check(const char* name, float value, float low, float high) {
    if (value >= low && value <= high) return;  // false for NaN
    throw std::invalid_argument(std::string(name) + " must be in [" + std::to_string(low) + ", " +
                                std::to_string(high) + "], is " + std::to_string(value));
}

void check(const Pose& pose) {
    check("x_m", pose.x_m, -kFarthest_m, kFarthest_m);
    check("y_m", pose.y_m, -kFarthest_m, kFarthest_m);
    check("z_m", pose.z_m, -kHighest_m, kHighest_m);
    check("yaw_rad", pose.yaw_rad, -kWildest_rad, kWildest_rad);
}

ScenarioConfig config_of(const RoadView& road, float dt_s) {
    ScenarioConfig config;
    config.road = road;
    config.dt_s = dt_s;
    validate(config);
    return config;
}

template <class Actor, std::size_t size>
Actor& free_slot(Actor (&slots)[size], const char* what) {
    for (Actor& actor : slots)
        if (actor.id == 0) return actor;
    throw OpenWorldFull("no room for another " + std::string(what) + ": " + std::to_string(size) +
                        " are here; destroy one first");
}

void turn(OpenWalker& walker, float x, float y) {
    if (x != 0 || y != 0) walker.yaw_rad = std::atan2(y, x);
}

void move_to(OpenWalker& actor, const Pose& pose) {
    actor.walker.body = Body{};
    actor.walker.x_m = pose.x_m;
    actor.walker.y_m = pose.y_m;
    actor.yaw_rad = pose.yaw_rad;
    actor.z_m = pose.z_m;
}

void move_to(OpenVehicle& vehicle, const Pose& pose) {
    vehicle.body = Body{};
    vehicle.barrier_touching = 0;
    vehicle.motion.x_m = pose.x_m;
    vehicle.motion.y_m = pose.y_m;
    vehicle.z_m = pose.z_m;
    if (vehicle.motion.yaw_rad == pose.yaw_rad) return;
    const RoadVelocity velocity = road_velocity(vehicle.motion);
    vehicle.motion.yaw_rad = pose.yaw_rad;
    set_road_velocity(vehicle.motion, velocity);
}

// Half of the box's extent across the road.
float half_across(const Box& box) {
    return 0.5f * (box.length_m * std::abs(std::sin(box.yaw_rad)) + box.width_m * std::abs(std::cos(box.yaw_rad)));
}

bool on_road(const RoadView& road, const Box& box) {
    const Free free = free_road(road, box.centre.y > 0 ? 1.0f : -1.0f);
    const float reach = half_across(box);
    return box.centre.y - reach >= free.right_m && box.centre.y + reach <= free.left_m;
}

}  // namespace

OpenWorld::OpenWorld(const RoadView& road, float dt_s) : config_(config_of(road, dt_s)) {}

void OpenWorld::set_scene(Weather weather, bool street_lights, std::uint64_t scenery_seed) {
    const std::unique_lock lock(world_);
    config_.weather = weather;
    config_.street_lights = street_lights;
    scenery_seed_ = scenery_seed;
}

void OpenWorld::set_dt(float dt_s) {
    const std::unique_lock lock(world_);
    config_.dt_s = config_of(config_.road, dt_s).dt_s;
}

void OpenWorld::reset_clock(std::int64_t ticks) {
    const std::unique_lock lock(world_);
    ticks_ = ticks;
}

OpenVehicle& OpenWorld::vehicle(ActorId actor) {
    if (OpenVehicle* found = state_.find_vehicle(actor)) return *found;
    throw std::invalid_argument("actor " + std::to_string(actor) + " is not a vehicle of this world");
}

bool OpenWorld::occupied(const Box& box) {
    Contact contact;
    for (const OpenWalker& walker : state_.walkers)
        if (walker.id != 0 && walker.walker.body.status == BodyStatus::active &&
            find_contact(box, box_of(walker.walker), {}, contact))
            return true;
    for (const OpenVehicle& vehicle : state_.vehicles)
        if (vehicle.id != 0 && vehicle.body.status < BodyStatus::down && find_contact(box, vehicle.box(), {}, contact))
            return true;
    return false;
}

ActorId OpenWorld::spawn_vehicle(const VehicleModelSize& model, const Look& look, const Pose& pose) {
    check(pose);
    check("length_m", model.length_m, 0.3f, 20);
    check("width_m", model.width_m, 0.2f, 5);
    check("height_m", model.height_m, 0.2f, 6);
    if (model.kind == ActorKind::pedestrian) throw std::invalid_argument("kind: a pedestrian is not a vehicle");
    const std::unique_lock lock(world_);
    OpenVehicle& slot = free_slot(state_.vehicles, "vehicle");
    OpenVehicle fresh;
    fresh.kind = model.kind;
    fresh.length_m = model.length_m, fresh.width_m = model.width_m, fresh.height_m = model.height_m;
    std::copy(look.colour, look.colour + 3, fresh.colour);
    fresh.style = look.style;
    move_to(fresh, pose);
    if (!on_road(config_.road, fresh.box()) || occupied(fresh.box())) return 0;
    fresh.id = ++last_id_;
    slot = fresh;
    return slot.id;
}

ActorId OpenWorld::spawn_walker(const Look& look, const Pose& pose) {
    check(pose);
    const std::unique_lock lock(world_);
    OpenWalker& slot = free_slot(state_.walkers, "walker");
    OpenWalker fresh;
    std::copy(look.colour, look.colour + 3, fresh.walker.colour);
    fresh.walker.style = look.style;
    move_to(fresh, pose);
    const Box box = box_of(fresh.walker);
    if (std::abs(pose.y_m) > config_.road.fence_y_m - half_across(box) || occupied(box)) return 0;
    fresh.id = ++last_id_;
    slot = fresh;
    return slot.id;
}

void OpenWorld::remove(ActorId actor) {
    const std::unique_lock lock(world_);
    check_known(actor);
    if (OpenWalker* walker = state_.find_walker(actor)) {
        *walker = OpenWalker{};
        return;
    }
    OpenVehicle& gone = vehicle(actor);
    let_go(state_, gone);
    gone = OpenVehicle{};
}

void OpenWorld::control_vehicle(ActorId actor, const DriverInput& input) {
    check("steer", input.steer, -1, 1);
    check("throttle", input.throttle, 0, 1);
    check("brake", input.brake, 0, 1);
    const std::unique_lock lock(world_);
    Pedals& pedals = vehicle(actor).pedals;
    pedals = pedals_of(input.steer, input.throttle, input.brake);
    if (input.hand_brake) pedals.brake = std::max(pedals.brake, kHandBrake);
    pedals.reverse = input.reverse;
}

void OpenWorld::set_speed_limit(ActorId actor, float speed_mps) {
    check("speed_mps", speed_mps, 0, kFastest_mps);
    const std::unique_lock lock(world_);
    vehicle(actor).speed_limit_mps = speed_mps;
}

void OpenWorld::control_walker(ActorId actor, float x, float y, float speed_mps) {
    check("x", x, -1.01f, 1.01f);
    check("y", y, -1.01f, 1.01f);
    check("speed_mps", speed_mps, 0, kFastest_mps);
    const std::unique_lock lock(world_);
    OpenWalker* walker = state_.find_walker(actor);
    if (!walker) throw std::invalid_argument("actor " + std::to_string(actor) + " is not a walker of this world");
    walker->speed_x_mps = x * speed_mps;
    walker->walker.speed_y_mps = y * speed_mps;
    if (speed_mps > 0) turn(*walker, x, y);
}

void OpenWorld::place(ActorId actor, const Pose& pose) {
    check(pose);
    const std::unique_lock lock(world_);
    check_known(actor);
    if (OpenWalker* walker = state_.find_walker(actor)) return move_to(*walker, pose);
    OpenVehicle& moved = vehicle(actor);
    let_go(state_, moved);
    move_to(moved, pose);
}

void OpenWorld::set_velocity(ActorId actor, float x_mps, float y_mps) {
    check("x_mps", x_mps, -kFastest_mps, kFastest_mps);
    check("y_mps", y_mps, -kFastest_mps, kFastest_mps);
    const std::unique_lock lock(world_);
    check_known(actor);
    if (OpenWalker* walker = state_.find_walker(actor)) {
        walker->speed_x_mps = x_mps;
        walker->walker.speed_y_mps = y_mps;
        return turn(*walker, x_mps, y_mps);
    }
    set_road_velocity(vehicle(actor).motion, {x_mps, y_mps});
}

void OpenWorld::set_lights(ActorId actor, int lights) {
    if ((lights & ~kAllLights) != 0)
        throw std::invalid_argument("lights must be a set of bits in 0.." + std::to_string(kAllLights) + ", is " +
                                    std::to_string(lights));
    const std::unique_lock lock(world_);
    vehicle(actor).lights = static_cast<std::uint8_t>(lights);
}

void OpenWorld::set_reporting(ActorId actor, bool on) {
    const std::unique_lock lock(world_);
    vehicle(actor).reporting = on;
}

void OpenWorld::tick() {
    const std::unique_lock lock(world_);
    advance_open_world(config_, state_);
    ++ticks_;
}

}  // namespace semore::driving
