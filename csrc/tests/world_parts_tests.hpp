// Tests of the parts a world is made of: the ego's dynamics, car following, lane changes, contacts, the crossing rule.
#pragma once

#include "check.hpp"
#include "driving/collisions.hpp"
#include "driving/contacts.hpp"
#include "driving/ego.hpp"
#include "driving/engine.hpp"
#include "driving/road.hpp"
#include "driving/traffic.hpp"
#include "driving/walkers.hpp"

#include <cmath>

namespace semore::driving {

constexpr float kTick_s = 0.05f;

inline Ego moving(float forward_mps) {
    Ego ego;
    ego.forward_mps = forward_mps;
    return ego;
}

inline void test_straight_line_figures() {
    Ego ego;
    int ticks = 0;
    for (; ego.forward_mps < 50 / 3.6f; ++ticks) advance_ego(ego, {0, 1, 0}, 60, kTick_s);
    CHECK(ticks * kTick_s > 2.8f && ticks * kTick_s < 3.8f);  // 0-50 km/h of a brisk family car
    ego = moving(50 / 3.6f);
    while (ego.forward_mps > 0) advance_ego(ego, {0, 0, 1}, 60, kTick_s);
    CHECK(ego.x_m > 10.5f && ego.x_m < 13.0f);  // braking from 50 km/h
    for (int i = 0; i < 100; ++i) advance_ego(ego, {0, 0, 1}, 60, kTick_s);
    CHECK(ego.forward_mps == 0);  // brakes never push
    ego = Ego{};
    for (int i = 0; i < 400; ++i) advance_ego(ego, {0, 1, 0}, 11, kTick_s);
    CHECK(ego.forward_mps > 10.9f && ego.forward_mps <= 11.0f);  // the limiter
    ego = moving(11);
    for (int i = 0; i < 100; ++i) advance_ego(ego, {0, 0, 0}, 11, kTick_s);
    CHECK(ego.forward_mps > 9.5f && ego.forward_mps < 10.7f);  // coasting loses 0.1-0.3 m/s2
}

inline void test_cornering_figures() {
    Ego ego = moving(2);
    for (int i = 0; i < 200; ++i) advance_ego(ego, {kEgoMaxWheelAngle_rad, 1, 0}, 2, kTick_s);
    const float radius = ego.forward_mps / ego.yaw_rate_rps;
    CHECK(radius > 4.0f && radius < 5.0f);  // full lock at walking pace
    for (float speed : {8.0f, 11.0f, 14.0f, 25.0f}) {
        ego = moving(speed);
        float lateral = 0;
        for (int i = 0; i < 200; ++i) {
            advance_ego(ego, {kEgoMaxWheelAngle_rad, ego.forward_mps < speed ? 1.0f : 0.0f, 0}, 60, kTick_s);
            if (i > 100) lateral = std::max(lateral, std::abs(ego.forward_mps * ego.yaw_rate_rps));
        }
        CHECK(lateral > 5.5f && lateral < kEgoGrip * 9.81f);  // limited by the tyres, not by the lock
    }
    ego = moving(11);
    for (int i = 0; i < 100; ++i) advance_ego(ego, {0.02f, 1, 0}, 11, kTick_s);
    CHECK(std::abs(ego.yaw_rate_rps / ego.forward_mps - std::tan(0.02f) / 2.875f) < 0.001f);  // gentle: kinematic
}

inline void test_left_and_right_mirror() {
    Ego left = moving(9), right = moving(9);
    for (int i = 0; i < 60; ++i) {
        advance_ego(left, {0.3f, 1, 0}, 11, kTick_s);
        advance_ego(right, {-0.3f, 1, 0}, 11, kTick_s);
    }
    CHECK(left.y_m > 1 && left.y_m == -right.y_m && left.x_m == right.x_m);
}

inline void test_idm_follows_without_collision() {
    const IdmParameters idm;
    float gap = 40, speed = 14, leader = 8;
    for (int i = 0; i < 4000; ++i) {
        if (i == 1000) leader = 0;  // the leader stops dead
        if (i == 2000) leader = 8;
        speed = std::max(0.0f, speed + kTick_s * idm_acceleration(idm, speed, 14, gap, leader));
        gap += kTick_s * (leader - speed);
        CHECK(gap > 0.3f);
    }
    CHECK(std::abs(speed - 8) < 0.01f);
    CHECK(std::abs(gap - idm_equilibrium_gap(idm, 8, 14)) < 0.2f);
    CHECK(std::abs(idm_acceleration(idm, 8, 14, idm_equilibrium_gap(idm, 8, 14), 8)) < 1e-4f);
}

inline float bumper_gap(const Vehicle& a, const Vehicle& b) {
    return std::abs(a.x_m - b.x_m) - 0.5f * (a.length_m + b.length_m);
}

inline bool overlap(const Vehicle& a, const Vehicle& b) {
    return bumper_gap(a, b) < 0 && std::abs(a.y_m - b.y_m) < 0.5f * (a.width_m + b.width_m);
}

// Traffic keeps clear of itself and of an ego that drives steadily or stands still; lanes are changed on the way.
inline void test_traffic_keeps_apart() {
    const ScenarioConfig config = highway();
    int lane_changes = 0;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        WorldState state;
        start_episode(config, state, seed);
        for (int tick = 0; tick < 400; ++tick) {
            WorldState before = state;
            advance_traffic(config, state);
            ++state.ticks;
            for (int i = 0; i < state.vehicle_count; ++i) {
                lane_changes += state.vehicles[i].lane != before.vehicles[i].lane;
                for (int j = 0; j < i; ++j) CHECK(!overlap(state.vehicles[i], state.vehicles[j]));
            }
        }
    }
    CHECK(lane_changes > 20);
}

inline Vehicle car_at(float x_m, int lane, float speed_mps, const ScenarioConfig& config) {
    Vehicle car;
    car.x_m = x_m;
    car.lane = static_cast<std::int8_t>(lane);
    car.y_m = lane_centre_y(config.road, 1, lane);
    car.length_m = 4.6f;
    car.width_m = 1.85f;
    car.speed_mps = car.desired_mps = speed_mps;
    car.settled_frames = 1000;
    return car;
}

// Behind a slow leader a driver changes to a free lane, but never into one where a faster car is close behind.
inline void test_mobil_is_safe() {
    ScenarioConfig config = highway();
    config.road.lanes_forward = 2;
    for (bool blocked : {false, true}) {
        WorldState state;
        start_episode(config, state, 1);
        state.ego.x_m = -1000;
        state.vehicle_count = 3;
        state.vehicles[0] = car_at(100, 1, 9, config);
        state.vehicles[1] = car_at(115, 1, 3, config);
        state.vehicles[2] = car_at(blocked ? 93 : -500, 0, 14, config);
        bool changed = false;
        for (int tick = 0; tick < 100; ++tick, ++state.ticks) {
            if (blocked) state.vehicles[2].x_m = state.vehicles[0].x_m - 7;  // stays in the blind spot
            advance_traffic(config, state);
            changed |= state.vehicles[0].lane == 0;
        }
        CHECK(changed == !blocked);
    }
}

inline void test_contact_normals() {
    const Box car{{0, 0}, 0, 4.7f, 1.86f};
    Contact contact;
    CHECK(find_contact(car, {{2.5f, 0.6f}, 0, 0.5f, 0.5f}, {11, 0}, contact));
    CHECK(contact.normal.x == 1 && std::abs(contact.depth_m - 0.1f) < 1e-5f);
    CHECK(find_contact(car, {{1.0f, 1.1f}, 0, 0.5f, 0.5f}, {0, 4}, contact));
    CHECK(contact.normal.y == 1);
    CHECK(!find_contact(car, {{2.7f, 0}, 0, 0.5f, 0.5f}, {11, 0}, contact));
    const Box turned{{0, 0}, 0.7854f, 4.7f, 1.86f};  // the corner of its bounding box is free
    CHECK(!find_contact(turned, {{2.2f, -2.2f}, 0, 0.5f, 0.5f}, {1, 1}, contact));
    CHECK(find_contact(turned, {{1.7f, 1.7f}, 0, 0.5f, 0.5f}, {1, 1}, contact));
}

inline WorldState highway_with_one_car(const ScenarioConfig& config, float gap_m, float ego_mps, float car_mps) {
    WorldState state;
    start_episode(config, state, 3);
    state.vehicle_count = 1;
    state.ego = moving(ego_mps);
    state.ego.y_m = lane_centre_y(config.road, 1, 2);
    state.vehicles[0] = car_at(0.5f * (kEgoLength_m + 4.6f) + gap_m, 2, car_mps, config);
    return state;
}

inline void test_two_body_impulse_conserves_momentum() {
    ScenarioConfig config = highway();
    config.restitution_vehicle = 0.3f;
    WorldState state = highway_with_one_car(config, -0.05f, 14, 6);
    const CollisionReport report = resolve_collisions(config, state);
    const float m1 = kEgoMass_kg, m2 = config.struck_vehicle_mass_kg;
    const float v1 = state.ego.forward_mps, v2 = state.vehicles[0].speed_mps;
    CHECK(report.new_hits == 1);
    CHECK(std::abs(m1 * v1 + m2 * v2 - (m1 * 14 + m2 * 6)) < 0.1f);
    CHECK(std::abs((v2 - v1) - 0.3f * 8) < 1e-3f);
    CHECK(std::abs(report.impulse_ns - m1 * (14 - v1)) < 0.1f);
    CHECK(two_body_impulse(m1, m2, 0, 0.3f) == 0);
}

// Whoever was struck stays with the ego. An ego that drives on, or only taps the brake, is pushed against at a bounded
// impulse every tick until the collision rule ends the episode; one that brakes within half a second is not.
inline int longest_streak(const ScenarioConfig& config, WorldState state, int brake_after, int tap_every) {
    int longest = 0;
    for (int i = 0; i < 60; ++i) {
        const bool brake = i >= brake_after || (tap_every > 0 && i % tap_every == tap_every - 1);
        const TickResult tick = advance_world(config, state, {0, brake ? -1.0f : 1.0f});
        CHECK(i == 0 || tick.crash_intensity_ns <= config.contact_impulse_cap_ns);
        CHECK(tick.new_hits == (i == 0));
        longest = std::max(longest, state.collision_streak);
    }
    return longest;
}

inline WorldState jaywalk_with_one_walker(const ScenarioConfig& config) {
    WorldState state;
    start_episode(config, state, 5);
    state.ego = moving(11);
    state.ego.y_m = -2;
    state.walker_count = 1;
    state.walkers[0] = Walker{};
    state.walkers[0].x_m = 0.5f * (kEgoLength_m + kWalkerLength_m) + 0.2f;
    state.walkers[0].y_m = -2.3f;
    return state;
}

inline void test_lasting_contact() {
    const ScenarioConfig road = jaywalk(), lanes = highway();
    const WorldState person = jaywalk_with_one_walker(road), car = highway_with_one_car(lanes, 0.1f, 14, 6);
    for (int tap_every : {0, 20, 10}) {
        CHECK(longest_streak(road, person, 100, tap_every) >= road.collision_frames_to_end);
        CHECK(longest_streak(lanes, car, 100, tap_every) >= lanes.collision_frames_to_end);
    }
    CHECK(longest_streak(road, person, 10, 0) < road.collision_frames_to_end);
    CHECK(longest_streak(lanes, car, 10, 0) < lanes.collision_frames_to_end);
}

// A person struck by a braking car comes off where the car stands, and is gone a little later.
inline void test_a_struck_person_comes_off_at_a_stop() {
    const ScenarioConfig config = jaywalk();
    WorldState state = jaywalk_with_one_walker(config);
    const Body& body = state.walkers[0].body;
    advance_world(config, state, {0, 1});
    CHECK(body.status == BodyStatus::carried);
    while (body.status == BodyStatus::carried) {
        advance_world(config, state, {0.1f, -1});
        CHECK(std::abs(state.walkers[0].x_m - state.ego.x_m) < 4);
    }
    CHECK(state.ego.forward_mps < config.shed_speed_mps + 0.5f);
    for (int i = 0; i < 45; ++i) CHECK(advance_world(config, state, {0, 1}).crash_intensity_ns == 0);
    CHECK(body.status == BodyStatus::gone);
}

inline void test_walking_into_a_standing_car() {
    const ScenarioConfig config = jaywalk();
    WorldState state;
    start_episode(config, state, 5);
    state.ego = Ego{};
    state.walker_count = 1;
    state.walkers[0] = Walker{};
    state.walkers[0].y_m = -0.5f * (kEgoWidth_m + kWalkerWidth_m) + 0.05f;
    state.walkers[0].speed_y_mps = 4;
    const CollisionReport report = resolve_collisions(config, state);
    const float walker_momentum = config.walker_mass_kg * 4;
    CHECK(report.impulse_ns > 0.9f * walker_momentum && report.impulse_ns <= walker_momentum);
    CHECK(state.walkers[0].body.status == BodyStatus::down);
    CHECK(resolve_collisions(config, state).impulse_ns == 0);
}

inline void test_barrier_slides_and_caps() {
    const ScenarioConfig config = jaywalk();
    WorldState state;
    start_episode(config, state, 5);
    state.walker_count = 0;
    state.ego = moving(10);
    state.ego.y_m = -config.road.fence_y_m + 1.8f;
    state.ego.yaw_rad = -0.3f;
    float first = 0, rest = 0;
    for (int i = 0; i < 12; ++i) {
        const float impulse = advance_world(config, state, {0, 1}).crash_intensity_ns;
        if (first == 0) first = impulse;
        else rest = std::max(rest, impulse);
    }
    CHECK(first > kEgoMass_kg * 10 * std::sin(0.25f) && first < kEgoMass_kg * 10 * std::sin(0.35f));
    CHECK(rest > 0 && rest <= config.contact_impulse_cap_ns);
    CHECK(state.collision_streak > 8);  // still pressed against it
}

// One speed a side and episode, uniform in the range; a standing walker sets off with the given probability each draw.
inline void test_crossing_rule() {
    ScenarioConfig config = jaywalk();
    int offered = 0, accepted = 0;
    double speed_sum = 0;
    const int episodes = 400;
    for (std::uint64_t seed = 0; seed < episodes; ++seed) {
        WorldState state;
        start_episode(config, state, seed);
        speed_sum += state.walker_speed_mps[0];
        for (int draw = 0; draw < 3; ++draw) {
            for (int i = 0; i < state.walker_count; ++i) offered += state.walkers[i].speed_y_mps == 0;
            WorldState before = state;
            draw_crossings(config, state);
            for (int i = 0; i < state.walker_count; ++i) {
                const Walker& walker = state.walkers[i];
                accepted += walker.speed_y_mps != before.walkers[i].speed_y_mps;
                const float expected = walker.speed_y_mps > 0 ? state.walker_speed_mps[0] : -state.walker_speed_mps[1];
                CHECK(walker.speed_y_mps == 0 || walker.speed_y_mps == expected);
            }
        }
    }
    const double share = static_cast<double>(accepted) / offered;
    CHECK(offered > 2000 && std::abs(share - config.crossing_probability) < 4 * 0.5 / std::sqrt(offered));
    CHECK(std::abs(speed_sum / episodes - 4.5) < 4 * 2.02 / std::sqrt(episodes));
}

// A walker keeps going across the band and stands on the far pavement until a later draw.
inline void test_crossing_is_completed() {
    ScenarioConfig config = jaywalk();
    config.crossing_probability = 1;
    config.crossing_interval_frames = 100000;
    WorldState state;
    start_episode(config, state, 9);
    for (int tick = 0; tick < 300; ++tick) {
        advance_walkers(config, state);
        for (int i = 0; i < state.walker_count; ++i) {
            const Walker& walker = state.walkers[i];
            if (std::abs(walker.y_m) < crossing_band_y(config.road)) CHECK(walker.speed_y_mps != 0);
        }
    }
    for (int i = 0; i < state.walker_count; ++i) {
        const Walker& walker = state.walkers[i];
        CHECK(walker.speed_y_mps == 0 && walker.y_m == -walker.home_side * standing_y(config.road));
    }
}

}  // namespace semore::driving
