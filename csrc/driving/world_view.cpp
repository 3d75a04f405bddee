// What a world shows to others: the camera's scene, and the list of actors nearby.
#include "ego.hpp"
#include "rng.hpp"
#include "views.hpp"
#include "world.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kPi = 3.14159265f;
constexpr float kBrakeLight_mps2 = -0.8f;

ActorView view_of(const Walker& walker) {
    return view_of(walker, facing_of(walker), std::abs(walker.speed_y_mps));
}

ActorView view_of(const Vehicle& vehicle) {
    ActorView view;
    view.kind = vehicle.kind;
    std::copy(vehicle.colour, vehicle.colour + 3, view.colour);
    view.style = vehicle.style;
    view.x_m = vehicle.x_m;
    view.y_m = vehicle.y_m;
    const float turn = std::atan2(vehicle.sideways_mps, std::max(std::abs(vehicle.speed_mps), 1.0f));
    view.yaw_rad = vehicle.direction > 0 ? turn : kPi - turn;
    view.length_m = vehicle.length_m;
    view.width_m = vehicle.width_m;
    view.height_m = vehicle.height_m;
    view.speed_mps = vehicle.speed_mps;
    view.phase_rad = vehicle.phase_rad;
    const bool brakes = vehicle.kind != ActorKind::cyclist && vehicle.accel_mps2 < kBrakeLight_mps2;
    view.lights = static_cast<std::uint8_t>(vehicle.lights | (brakes ? lights_brake : 0));
    if (vehicle.kind == ActorKind::cyclist) lay_down(view, vehicle.body);
    return view;
}

ClassId class_of(ActorKind kind) {
    switch (kind) {
        case ActorKind::pedestrian: return ClassId::pedestrian;
        case ActorKind::cyclist: return ClassId::bicycle;
        case ActorKind::truck: return ClassId::truck;
        default: return ClassId::car;
    }
}

float squared_distance(const ActorState& actor) { return actor.dx_m * actor.dx_m + actor.dy_m * actor.dy_m; }

ActorState seen_from(const Ego& ego, const ActorView& view, float vx_mps, float vy_mps) {
    return {class_of(view.kind), view.instance_id, view.x_m - ego.x_m, view.y_m - ego.y_m, vx_mps, vy_mps,
            view.length_m,       view.width_m};
}

}  // namespace

SceneView World::scene() const {
    const Ego& ego = state_.ego;
    int count = 0;
    const auto show = [&](ActorView view, BodyStatus status, int id) {
        if (status == BodyStatus::gone) return;
        view.instance_id = static_cast<std::uint8_t>(id);
        view.drawn = config_.actors_drawn;
        views_[static_cast<std::size_t>(count++)] = view;
    };
    for (int i = 0; i < state_.walker_count; ++i)
        show(view_of(state_.walkers[i]), state_.walkers[i].body.status, kFirstWalkerId + i);
    for (int i = 0; i < state_.vehicle_count; ++i)
        show(view_of(state_.vehicles[i]), state_.vehicles[i].body.status, kFirstVehicleId + i);
    SceneView scene;
    scene.road = config_.road;
    scene.weather = config_.weather;
    scene.street_lights = config_.street_lights;
    scene.scenery_seed = mix(state_.seed);
    scene.time_s = static_cast<double>(state_.ticks) * static_cast<double>(config_.dt_s);
    look_from(scene, ego.x_m, ego.y_m, ego.yaw_rad, Mount{});
    scene.ego_x_m = ego.x_m;
    scene.ego_y_m = ego.y_m;
    scene.ego_yaw_rad = ego.yaw_rad;
    scene.ego_lights = ego_lights(config_.weather);
    scene.actors = views_.data();
    scene.actor_count = count;
    return scene;
}

int World::nearby(ActorState* out, int capacity) const {
    std::array<ActorState, kMaxWalkers + kMaxVehicles> all;
    std::size_t count = 0;
    const auto add = [&](ActorView view, const Body& body, int id, RoadVelocity own) {
        if (body.status == BodyStatus::gone) return;
        view.instance_id = static_cast<std::uint8_t>(id);
        const RoadVelocity velocity = velocity_of(body, state_.ego, own);
        all[count++] = seen_from(state_.ego, view, velocity.x_mps, velocity.y_mps);
    };
    for (int i = 0; i < state_.walker_count; ++i) {
        const Walker& walker = state_.walkers[i];
        add(view_of(walker), walker.body, kFirstWalkerId + i, {0, walker.speed_y_mps});
    }
    for (int i = 0; i < state_.vehicle_count; ++i) {
        const Vehicle& vehicle = state_.vehicles[i];
        add(view_of(vehicle), vehicle.body, kFirstVehicleId + i,
            {static_cast<float>(vehicle.direction) * vehicle.speed_mps, vehicle.sideways_mps});
    }
    const auto first = all.begin(), last = first + static_cast<std::ptrdiff_t>(count);
    std::sort(first, last,
              [](const ActorState& a, const ActorState& b) { return squared_distance(a) < squared_distance(b); });
    const std::size_t kept = std::min(count, static_cast<std::size_t>(std::max(capacity, 0)));
    std::copy(first, first + static_cast<std::ptrdiff_t>(kept), out);
    return static_cast<int>(kept);
}

}  // namespace semore::driving
