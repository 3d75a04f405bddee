// One driving world: an ego car on a straight endless road with people, a cyclist or traffic. No pixels here.
#pragma once

#include "scenario.hpp"
#include "scene.hpp"
#include "state.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace semore::driving {

struct Control {
    float steer = 0;  // [-1, 1], positive steers to the right, as in CARLA
    float drive = 0;  // [-1, 1]: throttle when >= 0, brake when < 0
};

struct EgoState {
    float speed_mps = 0;
    float lane_offset_m = 0;      // of the car's centre from the nearest lane's centre, left positive
    float heading_error_rad = 0;  // yaw against that lane's direction, in (-pi, pi]
    float x_m = 0, y_m = 0;
    float v_s = 0;  // m/s along that lane's direction
};

struct ActorState {
    ClassId cls = ClassId::none;
    std::uint8_t instance_id = 0;
    float dx_m = 0, dy_m = 0;      // from the ego's centre, road frame
    float vx_mps = 0, vy_mps = 0;  // road frame
    float length_m = 0, width_m = 0;
};

class World {
 public:
    // Throws std::invalid_argument naming the field that has a bad value. The world starts as after reset(0).
    explicit World(const ScenarioConfig& config);

    // Places everything from the seed and runs the warm-up ticks.
    void reset(std::uint64_t seed);

    // One dt. Non-finite actions throw std::invalid_argument, finite ones are clamped to [-1, 1];
    // a tick after the episode's end throws std::logic_error.
    TickResult tick(float steer, float drive);

    // Pointers inside stay valid until the next tick, reset or restore.
    SceneView scene() const;
    EgoState ego() const;
    // Writes up to `capacity` actors, nearest first, and returns how many.
    int nearby(ActorState* out, int capacity) const;
    // What a planner that sees every actor, but not the random draws to come, would do now.
    Control privileged_action() const;

    int frame() const { return state_.frame; }
    EndReason end() const { return static_cast<EndReason>(state_.end); }
    const ScenarioConfig& config() const { return config_; }

    // Restoring continues bit for bit. Throws std::invalid_argument on data of another size, version or scenario.
    std::vector<std::uint8_t> save() const;
    void restore(const std::uint8_t* data, std::size_t size);

 private:
    ScenarioConfig config_;
    WorldState state_;
    mutable std::array<ActorView, kMaxWalkers + kMaxVehicles> views_;  // filled by scene()
};

}  // namespace semore::driving
