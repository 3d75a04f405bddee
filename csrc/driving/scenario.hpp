// Everything that decides a drive. The Python dataclasses in semore_fast/envs/scenario.py mirror these fields by name.
#pragma once

#include "scene.hpp"

#include <cstdint>

namespace semore::driving {

enum class ScenarioKind : std::uint8_t { jaywalk = 0, highbeam = 1, highway = 2 };
enum class RewardKind : std::uint8_t { dmr = 0, zhang = 1 };

struct ScenarioConfig {
    ScenarioKind kind = ScenarioKind::jaywalk;
    RoadView road;
    Weather weather = Weather::dusk;
    bool street_lights = false;
    bool actors_drawn = true;  // false is the not-drawn control: same physics, people and vehicles invisible

    // Time.
    float dt_s = 0.05f;
    int max_episode_frames = 500;
    int warmup_frames = 5;  // ticks with a zero action after each reset, not counted

    // Ego.
    float speed_limit_mps = 11.0f;  // a limiter: throttle fades out at this speed (calibration constant)
    float ego_start_min_m = 0.2f, ego_start_max_m = 2.2f;

    // Pedestrians (none when walkers_per_side is 0): a group at first_group_m, then every group_spacing_m, for ever.
    int walkers_per_side = 1;
    float first_group_m = 20.0f, group_length_m = 2.0f, group_spacing_m = 40.0f;
    float walker_speed_min_mps = 1.0f, walker_speed_max_mps = 8.0f;  // one draw per episode and side
    float crossing_probability = 0.5f;
    int crossing_interval_frames = 20;

    // Cyclist and traffic.
    int cyclists = 0;
    float cyclist_start_min_m = 30.0f, cyclist_start_max_m = 35.0f;
    float cyclist_speed_min_mps = 4.0f, cyclist_speed_max_mps = 6.0f;
    float cyclist_edge_min_m = 0.5f, cyclist_edge_max_m = 2.0f;        // its distance from the lane's right edge
    float cyclist_return_min_m = 35.0f, cyclist_return_max_m = 50.0f;  // how far ahead the next one appears
    float cyclist_swerve_probability = 0.25f;  // each second: it chooses another distance from the edge
    int oncoming_vehicles = 0;
    float oncoming_start_min_m = 15.0f, oncoming_start_max_m = 120.0f;
    float oncoming_speed_min_mps = 10.0f, oncoming_speed_max_mps = 14.0f;
    float oncoming_lean_max_m = 1.5f;  // how far towards the centre of the road an oncoming vehicle may keep
    int same_direction_vehicles = 0;
    float same_direction_start_min_m = 14.0f, same_direction_start_max_m = 200.0f;
    float same_direction_speed_min_mps = 5.0f, same_direction_speed_max_mps = 10.0f;
    float high_beam_probability = 0.0f;  // per vehicle

    // Collisions (calibration constants: docs/simulator.md). "Struck" masses count when the ego runs into somebody.
    float struck_person_mass_kg = 250.0f;
    float struck_cyclist_mass_kg = 300.0f;
    float struck_vehicle_mass_kg = 320.0f;
    float walker_mass_kg = 75.0f;  // counts when a person walks into the ego
    float restitution_vehicle = 0.0f;
    float restitution_soft = 0.0f;          // people and bikes
    float contact_impulse_cap_ns = 700.0f;  // of a lasting contact, per tick, after the first
    float carried_friction = 0.6f;          // of whoever is carried along on the road; the impulse of each tick
    float carried_braking_mps2 = 3.0f;  // nobody carried is pushed while the ego has slowed this fast since the contact
    float shed_speed_drop_mps = 3.0f;   // braking by this much since the contact began sheds a hooked vehicle
    float shed_speed_mps = 1.0f;        // being slower than this sheds whoever is carried

    // Reward and termination.
    RewardKind reward = RewardKind::dmr;
    int collision_frames_to_end = 20;
    int stuck_check_frames = 100;
    float stuck_speed_mps = 0.02f;
};

enum class EndReason : std::uint8_t { running = 0, time_limit = 1, collisions = 2, stuck = 3, off_road = 4 };

// What one tick (or the sum over one step's ticks) reports. Sums unless said.
struct TickResult {
    float reward = 0;
    float reward_progress = 0, reward_collision = 0, reward_brake = 0, reward_steer = 0;  // signed terms
    float distance_m = 0;            // signed lane progress v_s * dt
    float crash_intensity_ns = 0;    // norms of collision normal impulses
    float steer_abs = 0, brake = 0;  // summed over ticks; divide by frames for the mean
    int frames = 0;
    int new_hits = 0;  // contacts that began with a person, bike or vehicle
    EndReason end = EndReason::running;
};

ScenarioConfig jaywalk();
ScenarioConfig highbeam();
ScenarioConfig highway();

// Throws std::invalid_argument naming the first field with a bad value.
void validate(const ScenarioConfig& config);

// Equal for equal configurations; saved states carry it.
std::uint64_t fingerprint(const ScenarioConfig& config);

}  // namespace semore::driving
