#include "traffic.hpp"

#include "ego.hpp"
#include "rng.hpp"
#include "road.hpp"
#include "traffic_place.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr IdmParameters kIdm;
constexpr float kFreeRoad_m = 1e6f;
constexpr float kLateralSlack_m = 0.2f;      // vehicles this close sideways count as in the same corridor
constexpr float kStruckBraking_mps2 = 4.0f;  // a driver who was hit brakes
constexpr float kSideways_mps = 1.3f, kSidewaysGain_hz = 1.2f;
constexpr int kDecideEvery_frames = 20, kSettle_frames = 60;
constexpr float kPoliteness = 0.2f, kGainToChange_mps2 = 0.2f, kSafeBraking_mps2 = 3.0f;  // MOBIL
constexpr float kChangeGap_m = 2.5f;  // never change beside anyone closer than this
constexpr float kWillingness = 0.5f;  // chance that a driver takes a worthwhile lane change at a decision
constexpr float kPassedBy_m = 30.0f, kCyclistPassedBy_m = 12.0f;
constexpr float kPedalPerMetre_rad = 1.1f;

struct Neighbour {
    float gap_m = kFreeRoad_m;
    float speed_mps = 0, desired_mps = 0;
    bool found = false;
};

struct Around {
    Neighbour ahead, behind;
};

struct Corridor {
    float direction, s_m, y_m, half_length_m, half_width_m;
};

void consider(Around& around, const Corridor& corridor, float x_m, float half_length_m, float speed, float desired) {
    const float along = corridor.direction * x_m - corridor.s_m;
    const float gap = std::abs(along) - corridor.half_length_m - half_length_m;
    Neighbour& side = along >= 0 ? around.ahead : around.behind;
    if (gap < side.gap_m) side = {gap, speed, desired, true};
}

// Nearest leader and follower of a vehicle if it were at y_m; a vehicle changing lanes occupies both.
Around look_around(const ScenarioConfig& config, const WorldState& state, int slot, float y_m) {
    const Vehicle& me = state.vehicles[slot];
    const float direction = me.direction;
    const Corridor corridor{direction, direction * me.x_m, y_m, 0.5f * me.length_m,
                            0.5f * me.width_m + kLateralSlack_m};
    Around around;
    for (int i = 0; i < state.vehicle_count; ++i) {
        const Vehicle& other = state.vehicles[i];
        if (i == slot || other.direction != me.direction || other.body.status != BodyStatus::active) continue;
        const float heading_for = lane_centre_y(config.road, other.direction, other.lane) + other.lane_offset_m;
        const float apart = std::min(std::abs(other.y_m - y_m), std::abs(heading_for - y_m));
        if (apart < corridor.half_width_m + 0.5f * other.width_m)
            consider(around, corridor, other.x_m, 0.5f * other.length_m, other.speed_mps, other.desired_mps);
    }
    if (std::abs(state.ego.y_m - y_m) < corridor.half_width_m + 0.5f * kEgoWidth_m)
        consider(around, corridor, state.ego.x_m, 0.5f * kEgoLength_m, direction * road_velocity(state.ego).x_mps,
                 config.speed_limit_mps);
    return around;
}

float acceleration_behind(float speed, float desired, const Neighbour& leader) {
    return idm_acceleration(kIdm, speed, desired, leader.gap_m, leader.found ? leader.speed_mps : desired);
}

// MOBIL's incentive of moving to the lane at y_m; negative infinity when it would be unsafe.
float lane_change_gain(const ScenarioConfig& config, const WorldState& state, int slot, float y_m, float own_now) {
    const Vehicle& me = state.vehicles[slot];
    const Around there = look_around(config, state, slot, y_m);
    if (std::min(there.ahead.gap_m, there.behind.gap_m) < kChangeGap_m) return -1e9f;
    const Neighbour& follower = there.behind;
    float loss = 0;
    if (follower.found) {
        const Neighbour cut_in{follower.gap_m, me.speed_mps, me.desired_mps, true};
        const float after = acceleration_behind(follower.speed_mps, follower.desired_mps, cut_in);
        if (after < -kSafeBraking_mps2) return -1e9f;
        Neighbour before = there.ahead;
        before.gap_m += follower.gap_m + me.length_m;
        loss = acceleration_behind(follower.speed_mps, follower.desired_mps, before) - after;
    }
    const float own = acceleration_behind(me.speed_mps, me.desired_mps, there.ahead);
    return own < -kSafeBraking_mps2 ? -1e9f : own - own_now - kPoliteness * loss;
}

void maybe_change_lane(const ScenarioConfig& config, WorldState& state, int slot) {
    Vehicle& me = state.vehicles[slot];
    const int lanes = lane_count(config.road, me.direction);
    const bool decides = (state.ticks + 7 * slot) % kDecideEvery_frames == 0;
    if (!decides || lanes < 2 || me.settled_frames < kSettle_frames || me.struck_frames > 0) return;
    int best_lane = me.lane;
    float best_gain = kGainToChange_mps2;
    for (int lane = me.lane - 1; lane <= me.lane + 1; lane += 2) {
        if (lane < 0 || lane >= lanes) continue;
        const float y = lane_centre_y(config.road, me.direction, lane) + me.lane_offset_m;
        const float gain = lane_change_gain(config, state, slot, y, me.accel_mps2);
        if (gain > best_gain) {
            best_gain = gain;
            best_lane = lane;
        }
    }
    const std::uint64_t when = static_cast<std::uint64_t>(state.ticks);
    if (best_lane == me.lane ||
        draw_unit(state.chance_key, Draw::vehicle_chance, static_cast<std::uint64_t>(slot), when) >= kWillingness)
        return;
    me.lane = static_cast<std::int8_t>(best_lane);
    me.settled_frames = 0;
}

void choose_acceleration(const ScenarioConfig& config, WorldState& state, int slot) {
    Vehicle& me = state.vehicles[slot];
    ++me.settled_frames;
    if (me.struck_frames > 0) {
        --me.struck_frames;
        me.accel_mps2 = -std::copysign(kStruckBraking_mps2, me.speed_mps);
        return;
    }
    me.accel_mps2 = acceleration_behind(me.speed_mps, me.desired_mps, look_around(config, state, slot, me.y_m).ahead);
    if (me.kind == ActorKind::cyclist) return maybe_swerve(config, state, slot);
    maybe_change_lane(config, state, slot);
}

void move(const ScenarioConfig& config, Vehicle& me) {
    const float dt = config.dt_s;
    const float change = me.accel_mps2 * dt;
    const bool stops = me.speed_mps * (me.speed_mps + change) < 0 || (me.speed_mps == 0 && change < 0);
    me.speed_mps = stops ? 0 : me.speed_mps + change;
    const float target = lane_centre_y(config.road, me.direction, me.lane) + me.lane_offset_m;
    me.sideways_mps = std::clamp(kSidewaysGain_hz * (target - me.y_m), -kSideways_mps, kSideways_mps);
    if (std::abs(me.speed_mps) < 1.0f)
        me.sideways_mps *= std::abs(me.speed_mps);  // a car does not move sideways at rest
    me.x_m += static_cast<float>(me.direction) * me.speed_mps * dt;
    me.y_m += me.sideways_mps * dt;
    me.phase_rad = pedalling_phase(me.phase_rad, std::abs(me.speed_mps), dt);
}

}  // namespace

float idm_acceleration(const IdmParameters& idm, float speed_mps, float desired_mps, float gap_m, float leader_mps) {
    const float ratio = std::max(speed_mps, 0.0f) / std::max(desired_mps, 0.1f);
    const float dynamic =
        speed_mps * idm.time_gap_s +
        speed_mps * (speed_mps - leader_mps) / (2 * std::sqrt(idm.max_accel_mps2 * idm.comfortable_braking_mps2));
    const float wanted = idm.jam_distance_m + std::max(dynamic, 0.0f);
    const float crowding = wanted / std::max(gap_m, 0.1f);
    const float accel = idm.max_accel_mps2 * (1 - ratio * ratio * ratio * ratio - crowding * crowding);
    return std::max(accel, -idm.hardest_braking_mps2);
}

float idm_equilibrium_gap(const IdmParameters& idm, float speed_mps, float desired_mps) {
    const float ratio = speed_mps / desired_mps;
    return (idm.jam_distance_m + speed_mps * idm.time_gap_s) / std::sqrt(1 - ratio * ratio * ratio * ratio);
}

float pedalling_phase(float phase_rad, float speed_mps, float dt_s) {
    return std::fmod(phase_rad + kPedalPerMetre_rad * speed_mps * dt_s, 6.2831853f);
}

int vehicles_needed(const ScenarioConfig& config) {
    return config.cyclists + config.oncoming_vehicles + config.same_direction_vehicles;
}

bool needs_new_place(const WorldState& state, const Vehicle& vehicle) {
    if (vehicle.body.status != BodyStatus::active) return vehicle.body.status == BodyStatus::gone;
    const float margin = vehicle.kind == ActorKind::cyclist ? kCyclistPassedBy_m : kPassedBy_m;
    return vehicle.x_m < state.ego.x_m - margin;
}

void maybe_swerve(const ScenarioConfig& config, WorldState& state, int slot) {
    if (state.ticks % kDecideEvery_frames != 0) return;
    const std::uint64_t who = static_cast<std::uint64_t>(slot), when = static_cast<std::uint64_t>(state.ticks);
    if (draw_unit(state.chance_key, Draw::cyclist_swerve, who, 2 * when) >= config.cyclist_swerve_probability) return;
    state.vehicles[slot].lane_offset_m =
        cyclist_offset(config, draw_unit(state.chance_key, Draw::cyclist_swerve, who, 2 * when + 1));
}

void place_traffic(const ScenarioConfig& config, WorldState& state) {
    state.vehicle_count = vehicles_needed(config);
    for (int slot = 0; slot < state.vehicle_count; ++slot) place_vehicle(config, state, slot);
}

void advance_traffic(const ScenarioConfig& config, WorldState& state) {
    for (int slot = 0; slot < state.vehicle_count; ++slot) {
        if (needs_new_place(state, state.vehicles[slot])) recycle_vehicle(config, state, slot);
        if (state.vehicles[slot].body.status == BodyStatus::active) choose_acceleration(config, state, slot);
    }
    for (int slot = 0; slot < state.vehicle_count; ++slot)
        if (state.vehicles[slot].body.status == BodyStatus::active) move(config, state.vehicles[slot]);
}

}  // namespace semore::driving
