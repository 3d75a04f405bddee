#include "engine.hpp"

#include "bodies.hpp"
#include "collisions.hpp"
#include "ego.hpp"
#include "rng.hpp"
#include "road.hpp"
#include "traffic.hpp"
#include "walkers.hpp"

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

void place_ego(const ScenarioConfig& config, WorldState& state) {
    const int lane =
        static_cast<int>(draw_unit(state.seed, Draw::ego_start, 1) * static_cast<float>(config.road.lanes_forward));
    state.ego.x_m = draw_between(config.ego_start_min_m, config.ego_start_max_m, state.seed, Draw::ego_start, 0);
    state.ego.y_m = lane_centre_y(config.road, 1, std::min(lane, config.road.lanes_forward - 1));
}

void offer_crossings(const ScenarioConfig& config, WorldState& state) {
    if (state.frame % config.crossing_interval_frames == 0) draw_crossings(config, state);
}

Pedals pedals_of(Control control) {
    return driving::pedals_of(control.steer, std::max(control.drive, 0.0f), std::max(-control.drive, 0.0f));
}

void score(const ScenarioConfig& config, const WorldState& state, Control control, TickResult& result) {
    const RewardWeights weights = weights_of(config.reward);
    result.frames = 1;
    result.distance_m = observe_ego(config, state.ego).v_s * config.dt_s;
    result.steer_abs = std::abs(control.steer);
    result.brake = std::max(-control.drive, 0.0f);
    result.reward_progress = result.distance_m;
    result.reward_collision = -weights.impulse_per_ns * result.crash_intensity_ns;
    result.reward_brake = -weights.brake * result.brake;
    result.reward_steer = -weights.steer * result.steer_abs;
    result.reward = result.reward_progress + result.reward_collision + result.reward_brake + result.reward_steer;
}

EndReason reason_to_end(const ScenarioConfig& config, const WorldState& state) {
    if (state.collision_streak >= config.collision_frames_to_end) return EndReason::collisions;
    if (state.frame % config.stuck_check_frames == 0 && ego_speed(state.ego) < config.stuck_speed_mps)
        return EndReason::stuck;
    if (state.ego.x_m < kRoadBegins_m || std::abs(state.ego.y_m) > config.road.fence_y_m) return EndReason::off_road;
    return state.frame >= config.max_episode_frames ? EndReason::time_limit : EndReason::running;
}

}  // namespace

void start_episode(const ScenarioConfig& config, WorldState& state, std::uint64_t seed) {
    state = WorldState{};
    state.seed = seed;
    state.chance_key = mix(seed);
    place_ego(config, state);
    place_walkers(config, state);
    place_traffic(config, state);
    for (int i = 0; i < config.warmup_frames; ++i) advance_world(config, state, Control{});
    state.frame = 0;
    state.collision_streak = 0;
    state.end = static_cast<std::uint8_t>(EndReason::running);
}

TickResult advance_world(const ScenarioConfig& config, WorldState& state, Control control) {
    TickResult result;
    offer_crossings(config, state);
    advance_walkers(config, state);
    advance_traffic(config, state);
    advance_ego(state.ego, pedals_of(control), config.speed_limit_mps, config.dt_s);
    const CollisionReport collisions = resolve_collisions(config, state);
    result.crash_intensity_ns = collisions.impulse_ns + advance_bodies(config, state);
    result.new_hits = collisions.new_hits;
    score(config, state, control, result);
    state.collision_streak = result.crash_intensity_ns > 0 ? state.collision_streak + 1 : 0;
    ++state.frame;
    ++state.ticks;
    result.end = reason_to_end(config, state);
    state.end = static_cast<std::uint8_t>(result.end);
    return result;
}

EgoState observe_ego(const ScenarioConfig& config, const Ego& ego) {
    const LanePlace lane = nearest_lane(config.road, ego.y_m);
    const float heading = ego.yaw_rad - (lane.direction > 0 ? 0.0f : kPi);
    EgoState seen;
    seen.speed_mps = ego_speed(ego);
    seen.lane_offset_m = static_cast<float>(lane.direction) * (ego.y_m - lane.centre_y_m);
    seen.heading_error_rad = std::remainder(heading, 2 * kPi);
    seen.x_m = ego.x_m;
    seen.y_m = ego.y_m;
    seen.v_s = static_cast<float>(lane.direction) * road_velocity(ego).x_mps;
    return seen;
}

}  // namespace semore::driving
