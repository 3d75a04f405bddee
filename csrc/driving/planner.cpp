#include "planner.hpp"

#include "ego.hpp"
#include "engine.hpp"
#include "rng.hpp"
#include "road.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace semore::driving {
namespace {

constexpr float kHorizon_s = 2.0f;
constexpr int kScreenSamples = 1, kFinalSamples = 5;  // of the future, for every manoeuvre and for the best few
constexpr std::size_t kFinalists = 6;
constexpr float kHitPenalty = 40.0f;  // in reward units, on top of what the hit costs in the scenario itself
constexpr float kEndPenalty = 150.0f;
constexpr float kSpeedWorth_s = 1.0f;  // value of one m/s at the horizon
constexpr float kCreep_mps = 0.6f;     // never slower: a standing car would trip the stuck rule
constexpr float kWholePlan_s = 99.0f;

// Slow down to `speed_share` of the limit for `hold_s`, then go on at full speed; meanwhile move to `target_y_m`.
struct Manoeuvre {
    float target_y_m = 0;
    float speed_share = 1, hold_s = 0;
};

struct Candidate {
    Manoeuvre manoeuvre;
    float outcome = 0;
};

constexpr Manoeuvre kPaces[] = {
    {0, 1.0f, 0.0f},         {0, 0.0f, 0.4f}, {0, 0.0f, 0.9f},         {0, 0.0f, 1.6f},
    {0, 0.0f, kWholePlan_s}, {0, 0.5f, 1.0f}, {0, 0.5f, kWholePlan_s},
};

Control follow(const ScenarioConfig& config, const Ego& ego, const Manoeuvre& manoeuvre, float since_s) {
    const float speed = ego.forward_mps;
    const bool holding = since_s < manoeuvre.hold_s;
    const float target_mps =
        holding ? std::max(kCreep_mps, manoeuvre.speed_share * config.speed_limit_mps) : config.speed_limit_mps + 1.0f;
    const float heading = std::clamp((manoeuvre.target_y_m - ego.y_m) / (1.1f * speed + 2.0f), -0.3f, 0.3f);
    const float wheel = 1.2f * (heading - ego.yaw_rad) - 0.15f * ego.yaw_rate_rps;
    return {std::clamp(-wheel / kEgoMaxWheelAngle_rad, -1.0f, 1.0f), std::clamp(target_mps - speed, -1.0f, 1.0f)};
}

float outcome_of(const ScenarioConfig& config, WorldState& world, const Manoeuvre& manoeuvre) {
    const int ticks = static_cast<int>(kHorizon_s / config.dt_s);
    float total = 0;
    for (int i = 0; i < ticks; ++i) {
        const Control control = follow(config, world.ego, manoeuvre, static_cast<float>(i) * config.dt_s);
        const TickResult result = advance_world(config, world, control);
        total += result.reward - kHitPenalty * static_cast<float>(result.new_hits);
        if (result.end == EndReason::time_limit) return total;
        if (result.end != EndReason::running) return total - kEndPenalty;
        if (result.new_hits > 0) break;  // what follows a hit would be speculation
    }
    return total + kSpeedWorth_s * observe_ego(config, world.ego).v_s;
}

int lateral_targets(const ScenarioConfig& config, const Ego& ego, float (&targets)[4]) {
    const LanePlace lane = nearest_lane(config.road, std::min(ego.y_m, 0.0f));
    int count = 0;
    if (config.road.lanes_forward > 1) {
        targets[count++] = lane.centre_y_m;
        if (lane.lane > 0) targets[count++] = lane_centre_y(config.road, 1, lane.lane - 1);
        if (lane.lane + 1 < config.road.lanes_forward) targets[count++] = lane_centre_y(config.road, 1, lane.lane + 1);
        return count;
    }
    for (float offset : {0.0f, 0.6f, 1.1f, -0.6f}) targets[count++] = lane.centre_y_m + offset;
    return count;
}

// Sum of the outcomes in the sampled futures [first, last).
float sampled_outcomes(const ScenarioConfig& config, const WorldState& state, const Manoeuvre& manoeuvre, int first,
                       int last) {
    float total = 0;
    for (int sample = first; sample < last; ++sample) {
        WorldState world = state;
        world.chance_key = draw_bits(state.chance_key, Draw::rollout, static_cast<std::uint64_t>(state.ticks),
                                     static_cast<std::uint64_t>(sample));
        total += outcome_of(config, world, manoeuvre);
    }
    return total;
}

}  // namespace

Control plan(const ScenarioConfig& config, const WorldState& state) {
    float targets[4];
    const int count = lateral_targets(config, state.ego, targets);
    std::vector<Candidate> candidates;
    for (int i = 0; i < count; ++i) {
        for (Manoeuvre manoeuvre : kPaces) {
            manoeuvre.target_y_m = targets[i];
            candidates.push_back({manoeuvre, sampled_outcomes(config, state, manoeuvre, 0, kScreenSamples)});
        }
    }
    const auto better = [](const Candidate& a, const Candidate& b) { return a.outcome > b.outcome; };
    std::stable_sort(candidates.begin(), candidates.end(), better);
    candidates.resize(std::min(candidates.size(), kFinalists));
    for (Candidate& candidate : candidates)
        candidate.outcome +=
            sampled_outcomes(config, state, candidate.manoeuvre, kScreenSamples, kScreenSamples + kFinalSamples);
    const Candidate best = *std::min_element(candidates.begin(), candidates.end(), better);
    return follow(config, state.ego, best.manoeuvre, 0);
}

}  // namespace semore::driving
