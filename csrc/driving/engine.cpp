#include "engine.hpp"

#include "bodies.hpp"
#include "collisions.hpp"
#include "ego.hpp"
#include "rng.hpp"
#include "road.hpp"
#include "rules.hpp"
#include "traffic.hpp"
#include "walkers.hpp"

#include <algorithm>

namespace semore::driving {
namespace {

void place_ego(const ScenarioConfig& config, WorldState& state) {
    const int lane =
        static_cast<int>(draw_unit(state.seed, Draw::ego_start, 1) * static_cast<float>(config.road.lanes_forward));
    state.ego.x_m = draw_between(config.ego_start_min_m, config.ego_start_max_m, state.seed, Draw::ego_start, 0);
    state.ego.y_m = lane_centre_y(config.road, 1, std::min(lane, config.road.lanes_forward - 1));
}

Pedals pedals_of(Control control) {
    return driving::pedals_of(control.steer, std::max(control.drive, 0.0f), std::max(-control.drive, 0.0f));
}

}  // namespace

void place_episode(const ScenarioConfig& config, WorldState& state, std::uint64_t seed) {
    state = WorldState{};
    state.seed = seed;
    state.chance_key = mix(seed);
    place_ego(config, state);
    place_walkers(config, state);
    place_traffic(config, state);
}

void start_episode(const ScenarioConfig& config, WorldState& state, std::uint64_t seed) {
    place_episode(config, state, seed);
    for (int i = 0; i < config.warmup_frames; ++i) advance_world(config, state, Control{});
    begin_counting(state);
}

void advance_people(const ScenarioConfig& config, WorldState& state) {
    if (state.frame % config.crossing_interval_frames == 0) draw_crossings(config, state);
    advance_walkers(config, state);
}

TickResult advance_world(const ScenarioConfig& config, WorldState& state, Control control) {
    advance_people(config, state);
    advance_traffic(config, state);
    advance_ego(state.ego, pedals_of(control), config.speed_limit_mps, config.dt_s);
    const CollisionReport collisions = resolve_collisions(config, state);
    const float crash_intensity_ns = collisions.impulse_ns + advance_bodies(config, state);
    const EgoState ego = observe_ego(config, state.ego);
    TickResult result = score(config, ego, control, crash_intensity_ns, collisions.new_hits);
    count_tick(config, state, ego, result);
    return result;
}

EgoState observe_ego(const ScenarioConfig& config, const Ego& ego) {
    return observe_motion(config, {ego.x_m, ego.y_m, ego.yaw_rad, road_velocity(ego).x_mps, ego_speed(ego)});
}

}  // namespace semore::driving
