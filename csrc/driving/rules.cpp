#include "rules.hpp"

#include "road.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kRoadBegins_m = -10.0f;  // behind the start; ahead the road is endless
constexpr float kPi = 3.14159265f;

struct RewardWeights {
    float impulse_per_ns, brake, steer;
};

RewardWeights weights_of(RewardKind kind) {
    if (kind == RewardKind::zhang) return {1e-4f, 0.0f, 1.0f};
    return {1e-3f, 0.1f, 0.1f};
}

EndReason reason_to_end(const ScenarioConfig& config, const WorldState& state, const EgoState& ego) {
    if (state.collision_streak >= config.collision_frames_to_end) return EndReason::collisions;
    if (state.frame % config.stuck_check_frames == 0 && ego.speed_mps < config.stuck_speed_mps) return EndReason::stuck;
    if (ego.x_m < kRoadBegins_m || std::abs(ego.y_m) > config.road.fence_y_m) return EndReason::off_road;
    return state.frame >= config.max_episode_frames ? EndReason::time_limit : EndReason::running;
}

}  // namespace

EgoState observe_motion(const ScenarioConfig& config, const EgoMotion& motion) {
    const LanePlace lane = nearest_lane(config.road, motion.y_m);
    const float heading = motion.yaw_rad - (lane.direction > 0 ? 0.0f : kPi);
    EgoState seen;
    seen.speed_mps = motion.speed_mps;
    seen.lane_offset_m = static_cast<float>(lane.direction) * (motion.y_m - lane.centre_y_m);
    seen.heading_error_rad = std::remainder(heading, 2 * kPi);
    seen.x_m = motion.x_m;
    seen.y_m = motion.y_m;
    seen.v_s = static_cast<float>(lane.direction) * motion.along_mps;
    return seen;
}

TickResult score(const ScenarioConfig& config, const EgoState& ego, Control control, float crash_intensity_ns,
                 int new_hits) {
    const RewardWeights weights = weights_of(config.reward);
    TickResult result;
    result.crash_intensity_ns = crash_intensity_ns;
    result.new_hits = new_hits;
    result.frames = 1;
    result.distance_m = ego.v_s * config.dt_s;
    result.steer_abs = std::abs(control.steer);
    result.brake = std::max(-control.drive, 0.0f);
    result.reward_progress = result.distance_m;
    result.reward_collision = -weights.impulse_per_ns * result.crash_intensity_ns;
    result.reward_brake = -weights.brake * result.brake;
    result.reward_steer = -weights.steer * result.steer_abs;
    result.reward = result.reward_progress + result.reward_collision + result.reward_brake + result.reward_steer;
    return result;
}

void count_tick(const ScenarioConfig& config, WorldState& state, const EgoState& ego, TickResult& tick) {
    state.collision_streak = tick.crash_intensity_ns > 0 ? state.collision_streak + 1 : 0;
    ++state.frame;
    ++state.ticks;
    tick.end = reason_to_end(config, state, ego);
    state.end = static_cast<std::uint8_t>(tick.end);
}

void begin_counting(WorldState& state) {
    state.frame = 0;
    state.collision_streak = 0;
    state.end = static_cast<std::uint8_t>(EndReason::running);
}

void add(TickResult& sum, const TickResult& tick) {
    sum.reward += tick.reward;
    sum.reward_progress += tick.reward_progress;
    sum.reward_collision += tick.reward_collision;
    sum.reward_brake += tick.reward_brake;
    sum.reward_steer += tick.reward_steer;
    sum.distance_m += tick.distance_m;
    sum.crash_intensity_ns += tick.crash_intensity_ns;
    sum.steer_abs += tick.steer_abs;
    sum.brake += tick.brake;
    sum.frames += tick.frames;
    sum.new_hits += tick.new_hits;
    sum.end = tick.end;
}

}  // namespace semore::driving
