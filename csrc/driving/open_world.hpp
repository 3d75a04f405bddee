// A road without a script: vehicles and people come, go and move as callers say. Physics, collisions and camera are the
// embedded simulator's own; several vehicles may feel their collisions as its ego does.
#pragma once

#include "open_world_state.hpp"
#include "picture.hpp"
#include "scenario.hpp"
#include "views.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <vector>

namespace semore::driving {

struct Look {
    std::uint8_t colour[3] = {128, 128, 128};
    std::uint8_t style = 0;
};

struct VehicleModelSize {
    ActorKind kind = ActorKind::car;
    float length_m = kEgoLength_m, width_m = kEgoWidth_m, height_m = kEgoHeight_m;
};

struct Pose {
    float x_m = 0, y_m = 0, z_m = 0, yaw_rad = 0;
};

struct DriverInput {
    float steer = 0, throttle = 0, brake = 0;  // [-1, 1], positive to the right; [0, 1]
    bool hand_brake = false, reverse = false;
};

struct ActorRow {
    ActorId id;
    std::uint8_t alive;    // 0 from the blow on that strikes a person or a cyclist, until it is placed again
    std::uint8_t present;  // 0: struck and gone, neither drawn nor touched
    std::uint8_t instance_id;
    float x_m, y_m, z_m, yaw_rad, pitch_rad;
    float vx_mps, vy_mps, yaw_rate_rps, ax_mps2, ay_mps2;
};

class OpenWorldFull : public std::runtime_error {
 public:
    using std::runtime_error::runtime_error;
};

// Any thread may call anything at any time: calls wait for one another, but cameras draw at the same time.
// Bad arguments throw std::invalid_argument naming what is wrong, and change nothing.
class OpenWorld {
 public:
    OpenWorld(const RoadView& road, float dt_s);

    void set_scene(Weather weather, bool street_lights, std::uint64_t scenery_seed);
    void set_dt(float dt_s);
    void reset_clock(std::int64_t ticks);

    // The new actor's id, or 0 where something stands. OpenWorldFull when no slot is left; slots fill from the first.
    ActorId spawn_vehicle(const VehicleModelSize& model, const Look& look, const Pose& pose);
    ActorId spawn_walker(const Look& look, const Pose& pose);
    void remove(ActorId actor);

    void control_vehicle(ActorId actor, const DriverInput& input);
    void set_speed_limit(ActorId actor, float speed_mps);  // of a limiter, which fades out the throttle
    // Walks along (x, y), in the road's axes, until the next call.
    void control_walker(ActorId actor, float x, float y, float speed_mps);
    void place(ActorId actor, const Pose& pose);
    void set_velocity(ActorId actor, float x_mps, float y_mps);
    void set_lights(ActorId actor, int lights);
    void set_reporting(ActorId actor, bool on);

    void tick();

    std::vector<ActorRow> actors();
    std::vector<CollisionRow> collisions();  // of the last tick

    int open_camera(const PictureConfig& config);
    void close_camera(int camera);
    PictureConfig camera(int camera);
    // The mount is on `owner`, or absolute when that is 0. Whoever has the camera inside is not drawn.
    void render(int camera, ActorId owner, const Mount& mount, const PictureOutputs& out);

 private:
    struct Eye {
        explicit Eye(const PictureConfig& config) : picture(config) {}
        Picture picture;
        std::mutex busy;
        ActorView views[kMaxWalkers + kOpenVehicles];
    };

    OpenVehicle& vehicle(ActorId actor);
    void check_known(ActorId actor);
    bool occupied(const Box& box);
    std::shared_ptr<Eye> eye(int camera);
    SceneView scene(ActorId owner, const Mount& mount, ActorView* views);

    ScenarioConfig config_;
    std::uint64_t scenery_seed_ = 0;
    std::int64_t ticks_ = 0;
    ActorId last_id_ = 0;
    OpenState state_;
    std::shared_mutex world_;
    std::map<int, std::shared_ptr<Eye>> eyes_;
    int last_eye_ = 0;
};

}  // namespace semore::driving
