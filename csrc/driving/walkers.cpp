#include "walkers.hpp"

#include "rng.hpp"
#include "road.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kSeenAhead_m = 120.0f;  // groups exist at least this far ahead of the ego
constexpr float kKeptBehind_m = 15.0f;  // and disappear this far behind it
constexpr float kBandMargin_m = 2.0f;   // the band reaches this far onto each pavement
constexpr float kStandMargin_m = 2.5f;
constexpr float kStepsPerMetre_rad = 4.2f;  // limb phase: about 0.75 m a step

std::uint64_t person_index(const ScenarioConfig& config, int group, int slot_in_group) {
    return static_cast<std::uint64_t>(group) * static_cast<std::uint64_t>(2 * config.walkers_per_side) +
           static_cast<std::uint64_t>(slot_in_group);
}

int groups_alive(const ScenarioConfig& config) {
    const float span = kSeenAhead_m + kKeptBehind_m + config.group_length_m;
    return static_cast<int>(std::ceil(span / config.group_spacing_m)) + 1;
}

void place_walker(const ScenarioConfig& config, WorldState& state, int slot, int group) {
    const int per_group = 2 * config.walkers_per_side;
    const int place = slot % per_group;
    const std::uint64_t person = person_index(config, group, place);
    Walker& walker = state.walkers[slot];
    walker = Walker{};
    walker.group = group;
    walker.home_side = place < config.walkers_per_side ? -1 : 1;
    walker.x_m = config.first_group_m + static_cast<float>(group) * config.group_spacing_m +
                 draw_between(0, config.group_length_m, state.seed, Draw::walker_place, person);
    walker.y_m = static_cast<float>(walker.home_side) * standing_y(config.road);
    const std::uint64_t look = draw_bits(state.seed, Draw::walker_look, person);
    for (int c = 0; c < 3; ++c) walker.colour[c] = static_cast<std::uint8_t>(30 + (look >> (8 * c)) % 200);
    walker.style = static_cast<std::uint8_t>(look >> 32);
}

void recycle_if_passed(const ScenarioConfig& config, WorldState& state, int slot) {
    const Walker& walker = state.walkers[slot];
    const float group_end =
        config.first_group_m + static_cast<float>(walker.group) * config.group_spacing_m + config.group_length_m;
    const bool free = walker.body.status == BodyStatus::active || walker.body.status == BodyStatus::gone;
    if (free && group_end < state.ego.x_m - kKeptBehind_m)
        place_walker(config, state, slot, walker.group + groups_alive(config));
}

}  // namespace

float crossing_band_y(const RoadView& road) { return -right_edge_y(road) + kBandMargin_m; }
float standing_y(const RoadView& road) { return -right_edge_y(road) + kStandMargin_m; }

int walkers_needed(const ScenarioConfig& config) {
    return config.walkers_per_side == 0 ? 0 : groups_alive(config) * 2 * config.walkers_per_side;
}

void place_walkers(const ScenarioConfig& config, WorldState& state) {
    for (int side = 0; side < 2; ++side)
        state.walker_speed_mps[side] = draw_between(config.walker_speed_min_mps, config.walker_speed_max_mps,
                                                    state.seed, Draw::walker_speed, static_cast<std::uint64_t>(side));
    state.walker_count = walkers_needed(config);
    for (int slot = 0; slot < state.walker_count; ++slot)
        place_walker(config, state, slot, slot / (2 * config.walkers_per_side));
}

void draw_crossings(const ScenarioConfig& config, WorldState& state) {
    const std::uint64_t draw = static_cast<std::uint64_t>(state.walker_draws++);
    for (int slot = 0; slot < state.walker_count; ++slot) {
        Walker& walker = state.walkers[slot];
        const bool outside = std::abs(walker.y_m) >= crossing_band_y(config.road);
        if (walker.body.status != BodyStatus::active || !outside || walker.speed_y_mps != 0) continue;
        const int place = slot % (2 * config.walkers_per_side);
        const std::uint64_t person = person_index(config, walker.group, place);
        if (draw_unit(state.chance_key, Draw::walker_crossing, person, draw) < config.crossing_probability)
            walker.speed_y_mps = walker.y_m > 0 ? -state.walker_speed_mps[1] : state.walker_speed_mps[0];
    }
}

float walking_phase(float phase_rad, float speed_mps, float dt_s) {
    return std::fmod(phase_rad + kStepsPerMetre_rad * speed_mps * dt_s, 6.2831853f);
}

void advance_walkers(const ScenarioConfig& config, WorldState& state) {
    const float stand = standing_y(config.road);
    for (int slot = 0; slot < state.walker_count; ++slot) {
        recycle_if_passed(config, state, slot);
        Walker& walker = state.walkers[slot];
        if (walker.body.status != BodyStatus::active || walker.speed_y_mps == 0) continue;
        walker.y_m += walker.speed_y_mps * config.dt_s;
        walker.phase_rad = walking_phase(walker.phase_rad, std::abs(walker.speed_y_mps), config.dt_s);
        if (walker.y_m * walker.speed_y_mps > 0 && std::abs(walker.y_m) >= stand) {
            walker.y_m = std::copysign(stand, walker.y_m);
            walker.speed_y_mps = 0;
        }
    }
}

}  // namespace semore::driving
