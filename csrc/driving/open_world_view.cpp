// What the open world shows: rows of actors, and pictures from any place.
#include "open_world.hpp"

#include "rng.hpp"
#include "walkers.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace semore::driving {
namespace {

constexpr float kBrakeLight = 0.1f;       // of the pedal
constexpr float kInsideAbove_m = 1.2f;    // a camera this little above a roof is still the vehicle's own
constexpr float kLowestEye_m = 0.05f, kHighestEye_m = 1000.0f;
constexpr float kFarthest_m = 1e5f, kHalfPi = 1.57079633f;

ActorView view_of(const OpenWalker& actor) {
    const Vec2 speed{actor.speed_x_mps, actor.walker.speed_y_mps};
    ActorView view = view_of(actor.walker, actor.yaw_rad, std::sqrt(dot(speed, speed)));
    view.z_m += actor.z_m;
    return view;
}

ActorView view_of(const OpenVehicle& vehicle) {
    ActorView view;
    view.kind = vehicle.kind;
    std::copy(vehicle.colour, vehicle.colour + 3, view.colour);
    view.style = vehicle.style;
    view.x_m = vehicle.motion.x_m, view.y_m = vehicle.motion.y_m, view.z_m = vehicle.z_m;
    view.yaw_rad = vehicle.motion.yaw_rad;
    view.length_m = vehicle.length_m, view.width_m = vehicle.width_m, view.height_m = vehicle.height_m;
    view.speed_mps = vehicle.motion.forward_mps;
    view.phase_rad = vehicle.phase_rad;
    const bool brakes = !vehicle.cyclist() && vehicle.pedals.brake >= kBrakeLight;
    view.lights = static_cast<std::uint8_t>(vehicle.lights | (brakes ? lights_brake : 0));
    if (vehicle.cyclist()) lay_down(view, vehicle.body);
    return view;
}

ActorRow row_of(const OpenActor& actor, const ActorView& view, const Body& body, bool soft, int instance_id) {
    return {actor.id,
            static_cast<std::uint8_t>(!soft || body.status == BodyStatus::active),
            static_cast<std::uint8_t>(body.status != BodyStatus::gone),
            static_cast<std::uint8_t>(instance_id),
            view.x_m,
            view.y_m,
            view.z_m,
            view.yaw_rad,
            view.pitch_rad,
            0,
            0,
            0,
            actor.acceleration.x,
            actor.acceleration.y};
}

bool inside(const Mount& mount, const ActorView& owner) {
    return std::abs(mount.x_m) <= 0.5f * owner.length_m && std::abs(mount.y_m) <= 0.5f * owner.width_m &&
           mount.z_m <= owner.height_m + kInsideAbove_m;
}

void check_mount(const Mount& mount) {
    for (const float value : {mount.x_m, mount.y_m, mount.z_m, mount.yaw_rad, mount.pitch_rad})
        if (!(std::abs(value) <= kFarthest_m))
            throw std::invalid_argument("the camera's pose must be finite and within 1e5, has " +
                                        std::to_string(value));
}

}  // namespace

void OpenWorld::check_known(ActorId actor) {
    if (!state_.find_walker(actor) && !state_.find_vehicle(actor))
        throw std::invalid_argument("actor " + std::to_string(actor) + " is not in this world");
}

std::vector<ActorRow> OpenWorld::actors() {
    const std::shared_lock lock(world_);
    std::vector<ActorRow> rows;
    const auto add = [&](ActorRow row, Vec2 velocity, float yaw_rate_rps) {
        row.vx_mps = velocity.x, row.vy_mps = velocity.y, row.yaw_rate_rps = yaw_rate_rps;
        rows.push_back(row);
    };
    for (int i = 0; i < kMaxWalkers; ++i) {
        const OpenWalker& w = state_.walkers[i];
        if (w.id != 0) add(row_of(w, view_of(w), w.walker.body, true, kFirstWalkerId + i), velocity_of(state_, w), 0);
    }
    for (int i = 0; i < kOpenVehicles; ++i) {
        const OpenVehicle& v = state_.vehicles[i];
        if (v.id != 0)
            add(row_of(v, view_of(v), v.body, v.cyclist(), kFirstVehicleId + i), velocity_of(state_, v),
                v.motion.yaw_rate_rps);
    }
    return rows;
}

std::vector<CollisionRow> OpenWorld::collisions() {
    const std::shared_lock lock(world_);
    return state_.collisions;
}

int OpenWorld::open_camera(const PictureConfig& config) {
    auto fresh = std::make_shared<Eye>(config);
    const std::unique_lock lock(world_);
    eyes_[++last_eye_] = std::move(fresh);
    return last_eye_;
}

void OpenWorld::close_camera(int camera) {
    eye(camera);
    const std::unique_lock lock(world_);
    eyes_.erase(camera);
}

PictureConfig OpenWorld::camera(int camera) { return eye(camera)->picture.config(); }

std::shared_ptr<OpenWorld::Eye> OpenWorld::eye(int camera) {
    const std::shared_lock lock(world_);
    const auto found = eyes_.find(camera);
    if (found == eyes_.end()) throw std::invalid_argument("camera " + std::to_string(camera) + " is not open");
    return found->second;
}

SceneView OpenWorld::scene(ActorId owner, const Mount& mount, ActorView* views) {
    SceneView scene;
    scene.road = config_.road;
    scene.weather = config_.weather;
    scene.street_lights = config_.street_lights;
    scene.scenery_seed = mix(scenery_seed_);
    scene.time_s = static_cast<double>(ticks_) * static_cast<double>(config_.dt_s);
    int count = 0;
    const auto show = [&](const OpenActor& actor, ActorView view, const Body& body, int instance_id) {
        const bool own = actor.id == owner && inside(mount, view);
        if (actor.id == owner) {
            look_from(scene, view.x_m, view.y_m, view.yaw_rad, mount);
            scene.camera_z_m += actor.z_m;
        }
        if (own) scene.ego_x_m = view.x_m, scene.ego_y_m = view.y_m, scene.ego_yaw_rad = view.yaw_rad;
        if (own) scene.ego_lights = view.lights;
        if (own || body.status == BodyStatus::gone) return;
        view.instance_id = static_cast<std::uint8_t>(instance_id);
        views[count++] = view;
    };
    look_from(scene, 0, 0, 0, mount);
    for (int i = 0; i < kMaxWalkers; ++i) {
        const OpenWalker& walker = state_.walkers[i];
        if (walker.id != 0) show(walker, view_of(walker), walker.walker.body, kFirstWalkerId + i);
    }
    for (int i = 0; i < kOpenVehicles; ++i) {
        const OpenVehicle& vehicle = state_.vehicles[i];
        if (vehicle.id != 0) show(vehicle, view_of(vehicle), vehicle.body, kFirstVehicleId + i);
    }
    scene.camera_z_m = std::clamp(scene.camera_z_m, kLowestEye_m, kHighestEye_m);
    scene.camera_pitch_rad = std::clamp(scene.camera_pitch_rad, -kHalfPi, kHalfPi);
    scene.actors = views;
    scene.actor_count = count;
    return scene;
}

void OpenWorld::render(int camera, ActorId owner, const Mount& mount, const PictureOutputs& out) {
    check_mount(mount);
    const std::shared_ptr<Eye> drawn = eye(camera);
    const std::lock_guard busy(drawn->busy);
    SceneView seen;
    {
        const std::shared_lock lock(world_);
        if (owner != 0) check_known(owner);
        seen = scene(owner, mount, drawn->views);
    }
    drawn->picture.render(seen, out);
}

}  // namespace semore::driving
