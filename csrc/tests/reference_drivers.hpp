// Drivers that need no learning, against which a scenario's calibration is judged, and a loop that measures them.
#pragma once

#include "driving/ego.hpp"
#include "driving/world.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

namespace semore::driving {

using Driver = std::function<Control(const World&)>;

inline Driver do_nothing() {
    return [](const World&) { return Control{}; };
}

inline Driver full_throttle() {
    return [](const World&) { return Control{0, 1}; };
}

// Full throttle with steering amplitude * sin(2 pi t / period + phase).
inline Driver weave(float amplitude, float period_s, float phase_rad) {
    return [=](const World& world) {
        const float t = static_cast<float>(world.frame()) * world.config().dt_s;
        return Control{amplitude * std::sin(6.2831853f * t / period_s + phase_rad), 1};
    };
}

// Full throttle for `share` of every second, full brake for the rest.
inline Driver pulse(float share) {
    return [=](const World& world) {
        return Control{0, static_cast<float>(world.frame() % 20) < 20 * share ? 1.0f : -1.0f};
    };
}

// Full throttle, sees the lane but nobody on it: holds a fixed place to the left of the lane's centre.
inline Driver keep_offset(float offset_m) {
    return [=](const World& world) {
        const EgoState ego = world.ego();
        const float aside = offset_m - ego.lane_offset_m;
        const float heading = std::clamp(aside / (1.1f * ego.speed_mps + 2.0f), -0.3f, 0.3f);
        const float wheel = 1.2f * (heading - ego.heading_error_rad);
        return Control{std::clamp(-wheel / kEgoMaxWheelAngle_rad, -1.0f, 1.0f), 1};
    };
}

inline Driver privileged() {
    return [](const World& world) { return world.privileged_action(); };
}

// Means over episodes; steer and brake over frames.
struct Drives {
    int episodes = 0;
    double episode_return = 0, standard_error = 0, distance_m = 0, crash_ns = 0, hits = 0, steer = 0, brake = 0,
           frames = 0;
    double ended_by_collision = 0, ended_stuck = 0;
};

inline Drives drive(const ScenarioConfig& config, const Driver& driver, int episodes, std::uint64_t first_seed = 1000) {
    World world(config);
    Drives sum;
    double squares = 0;
    for (int episode = 0; episode < episodes; ++episode) {
        world.reset(first_seed + static_cast<std::uint64_t>(episode));
        double episode_return = 0;
        while (world.end() == EndReason::running) {
            const Control control = driver(world);
            const TickResult tick = world.tick(control.steer, control.drive);
            episode_return += tick.reward;
            sum.distance_m += tick.distance_m / episodes;
            sum.crash_ns += tick.crash_intensity_ns / episodes;
            sum.hits += static_cast<double>(tick.new_hits) / episodes;
            sum.steer += tick.steer_abs;
            sum.brake += tick.brake;
            sum.frames += 1;
        }
        sum.episode_return += episode_return / episodes;
        squares += episode_return * episode_return / episodes;
        sum.ended_by_collision += world.end() == EndReason::collisions ? 1.0 / episodes : 0;
        sum.ended_stuck += world.end() == EndReason::stuck ? 1.0 / episodes : 0;
    }
    const double variance = std::max(0.0, squares - sum.episode_return * sum.episode_return);
    sum.episodes = episodes;
    sum.standard_error = std::sqrt(variance / std::max(1, episodes - 1));
    sum.steer /= sum.frames;
    sum.brake /= sum.frames;
    sum.frames /= episodes;
    return sum;
}

}  // namespace semore::driving
