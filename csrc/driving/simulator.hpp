// N independent worlds with cameras, stepped and rendered in one call.
#pragma once

#include "camera.hpp"
#include "scenario.hpp"
#include "world.hpp"

#include "worker_pool.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace semore::driving {

struct SimulatorConfig {
    ScenarioConfig scenario;
    CameraConfig camera;
    int num_envs = 1;
    int threads = 1;             // of the pool, the caller included
    bool channels_last = false;  // rgb rows are [H, W, 3] instead of [3, H, W]
};

// Caller-owned output arrays, one row an environment; a null pointer leaves that output out.
struct StepBuffers {
    TickResult* results = nullptr;         // [N]
    float* ego = nullptr;                  // [N, ego_columns]: speed_mps, lane_offset_m, heading_error_rad, lane_width_m
    float* actors = nullptr;               // [N, actor_rows, actor_columns], nearest first, zero padded
    std::uint8_t* rgb = nullptr;           // [N, 3, H, W] or [N, H, W, 3]
    std::uint8_t* class_ids = nullptr;     // [N, H, W]; needs rgb
    std::uint8_t* instance_ids = nullptr;  // [N, H, W]; needs rgb
};

inline constexpr int ego_columns = 4;
inline constexpr int actor_rows = 8;
inline constexpr int actor_columns = 8;  // class id, instance id, dx_m, dy_m, vx_mps, vy_mps, length_m, width_m

// An environment that has ended, or was never reset, was asked to go on.
class ResetNeededError : public std::logic_error {
 public:
    ResetNeededError(int env, EndReason end);
};

const char* name_of(EndReason end);

// Every call touches only the rows whose `which` is true. Results do not depend on the number of threads.
// Calls from two threads at once raise std::runtime_error. Arguments are checked before any world moves.
class Simulator {
 public:
    explicit Simulator(const SimulatorConfig& config);

    const SimulatorConfig& config() const { return config_; }

    // Starts new episodes and renders their first frame; their results rows become zero.
    void reset(const std::uint64_t* seeds, const bool* which, const StepBuffers& out);

    // Ticks each world up to `frames` times with its row of actions [N, 2] (steer, drive; clipped to [-1, 1]), stopping
    // where its episode ends; results are sums over those ticks. Renders the last frame.
    void step(const float* actions, int frames, const bool* which, const StepBuffers& out);

    // Renders the current frame again; results rows become zero.
    void observe(const bool* which, const StepBuffers& out);

    // One environment through another camera, rgb [H, W, 3]: for people to look at.
    void view(int env, const CameraConfig& camera, std::uint8_t* rgb);

    // The privileged planner's actions [N, 2]; rows of ended environments become zero.
    void privileged_actions(float* actions);

    // Physics state of all worlds, for restore() by the same build. restore() changes nothing when it throws.
    std::vector<std::uint8_t> save() const;
    void restore(const std::uint8_t* bytes, std::size_t size);

 private:
    struct Slot {
        std::unique_ptr<World> world;
        bool started = false;
    };

    std::unique_lock<std::mutex> exclusive() const;
    void for_each(const std::function<void(int env, int worker)>& body);
    void check_running(const bool* which) const;
    void write(int env, int worker, const StepBuffers& out);
    void render(int env, int worker, const StepBuffers& out);

    SimulatorConfig config_;
    std::vector<Slot> slots_;
    std::vector<Camera> cameras_;                    // one a worker: scratch memory, no state between frames
    std::vector<std::vector<std::uint8_t>> planes_;  // one a worker, for channels_last
    mutable std::mutex busy_;
    WorkerPool pool_;
};

}  // namespace semore::driving
