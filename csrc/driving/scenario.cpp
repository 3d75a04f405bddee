#include "scenario.hpp"

#include "rng.hpp"
#include "state.hpp"
#include "traffic.hpp"
#include "walkers.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace semore::driving {
namespace {

constexpr double kAny = std::numeric_limits<double>::max();
constexpr double kTiny = 1e-6;

// Calls visit(name, value, low, high) for every field: one list serves validation and fingerprints.
template <typename Config, typename Visit>
void visit_time_and_ego(Config& c, Visit&& visit) {
    visit("kind", static_cast<int>(c.kind), 0, 2);
    visit("weather", static_cast<int>(c.weather), 0, 4);
    visit("street_lights", c.street_lights, 0, 1);
    visit("actors_drawn", c.actors_drawn, 0, 1);
    visit("dt_s", c.dt_s, 0.005, 0.1);
    visit("max_episode_frames", c.max_episode_frames, 1, 1e6);
    visit("warmup_frames", c.warmup_frames, 0, 1000);
    visit("speed_limit_mps", c.speed_limit_mps, 1, 60);
    visit("ego_start_min_m", c.ego_start_min_m, 0, 1000);
    visit("ego_start_max_m", c.ego_start_max_m, c.ego_start_min_m, 1000);
}

template <typename Config, typename Visit>
void visit_road(Config& c, Visit&& visit) {
    visit("road.lanes_forward", c.road.lanes_forward, 1, 8);
    visit("road.lanes_oncoming", c.road.lanes_oncoming, 0, 8);
    visit("road.lane_width_m", c.road.lane_width_m, 2.5, 10);
    visit("road.median_width_m", c.road.median_width_m, 0, 50);
    visit("road.shoulder_width_m", c.road.shoulder_width_m, 0, 20);
    visit("road.pavement_width_m", c.road.pavement_width_m, 0, 20);
    visit("road.town", c.road.town, 0, 1);
    const int lanes = c.road.lanes_forward > c.road.lanes_oncoming ? c.road.lanes_forward : c.road.lanes_oncoming;
    visit("road.fence_y_m", c.road.fence_y_m, 0.5 * c.road.median_width_m + lanes * c.road.lane_width_m, 200);
}

template <typename Config, typename Visit>
void visit_people(Config& c, Visit&& visit) {
    visit("walkers_per_side", c.walkers_per_side, 0, kMaxWalkers);
    visit("first_group_m", c.first_group_m, 0, 1e4);
    visit("group_length_m", c.group_length_m, 0, 1e3);
    visit("group_spacing_m", c.group_spacing_m, 5, 1e4);
    visit("walker_speed_min_mps", c.walker_speed_min_mps, kTiny, 12);
    visit("walker_speed_max_mps", c.walker_speed_max_mps, c.walker_speed_min_mps, 12);
    visit("crossing_probability", c.crossing_probability, 0, 1);
    visit("crossing_interval_frames", c.crossing_interval_frames, 1, 1e6);
}

template <typename Config, typename Visit>
void visit_traffic(Config& c, Visit&& visit) {
    visit("cyclists", c.cyclists, 0, kMaxVehicles);
    visit("cyclist_start_min_m", c.cyclist_start_min_m, 5, 1e4);
    visit("cyclist_start_max_m", c.cyclist_start_max_m, c.cyclist_start_min_m, 1e4);
    visit("cyclist_speed_min_mps", c.cyclist_speed_min_mps, 0.1, 60);
    visit("cyclist_speed_max_mps", c.cyclist_speed_max_mps, c.cyclist_speed_min_mps, 60);
    visit("cyclist_edge_min_m", c.cyclist_edge_min_m, 0, c.road.lane_width_m);
    visit("cyclist_edge_max_m", c.cyclist_edge_max_m, c.cyclist_edge_min_m, c.road.lane_width_m);
    visit("cyclist_return_min_m", c.cyclist_return_min_m, 10, 1e4);
    visit("cyclist_return_max_m", c.cyclist_return_max_m, c.cyclist_return_min_m, 1e4);
    visit("cyclist_swerve_probability", c.cyclist_swerve_probability, 0, 1);
    visit("oncoming_vehicles", c.oncoming_vehicles, 0, c.road.lanes_oncoming > 0 ? kMaxVehicles : 0);
    visit("oncoming_start_min_m", c.oncoming_start_min_m, 10, 1e4);
    visit("oncoming_start_max_m", c.oncoming_start_max_m, c.oncoming_start_min_m, 1e4);
    visit("oncoming_speed_min_mps", c.oncoming_speed_min_mps, 0.1, 60);
    visit("oncoming_speed_max_mps", c.oncoming_speed_max_mps, c.oncoming_speed_min_mps, 60);
    visit("oncoming_lean_max_m", c.oncoming_lean_max_m, 0, 0.5 * c.road.lane_width_m);
    visit("same_direction_vehicles", c.same_direction_vehicles, 0, kMaxVehicles);
    visit("same_direction_start_min_m", c.same_direction_start_min_m, 14, 1e4);
    visit("same_direction_start_max_m", c.same_direction_start_max_m, c.same_direction_start_min_m, 1e4);
    visit("same_direction_speed_min_mps", c.same_direction_speed_min_mps, 0.1, 60);
    visit("same_direction_speed_max_mps", c.same_direction_speed_max_mps, c.same_direction_speed_min_mps, 60);
    visit("high_beam_probability", c.high_beam_probability, 0, 1);
}

template <typename Config, typename Visit>
void visit_collisions_and_rules(Config& c, Visit&& visit) {
    visit("struck_person_mass_kg", c.struck_person_mass_kg, 1, 1e5);
    visit("struck_cyclist_mass_kg", c.struck_cyclist_mass_kg, 1, 1e5);
    visit("struck_vehicle_mass_kg", c.struck_vehicle_mass_kg, 1, 1e5);
    visit("walker_mass_kg", c.walker_mass_kg, 1, 1e5);
    visit("restitution_vehicle", c.restitution_vehicle, 0, 1);
    visit("restitution_soft", c.restitution_soft, 0, 1);
    visit("contact_impulse_cap_ns", c.contact_impulse_cap_ns, kTiny, 1e7);
    visit("carried_friction", c.carried_friction, kTiny, 2);
    visit("carried_braking_mps2", c.carried_braking_mps2, 0, 60);
    visit("shed_speed_drop_mps", c.shed_speed_drop_mps, 0, 60);
    visit("shed_speed_mps", c.shed_speed_mps, 0, 60);
    visit("reward", static_cast<int>(c.reward), 0, 1);
    visit("collision_frames_to_end", c.collision_frames_to_end, 1, 1e6);
    visit("stuck_check_frames", c.stuck_check_frames, 1, 1e6);
    visit("stuck_speed_mps", c.stuck_speed_mps, 0, kAny);
}

template <typename Config, typename Visit>
void visit_fields(Config& config, Visit&& visit) {
    visit_time_and_ego(config, visit);
    visit_road(config, visit);
    visit_people(config, visit);
    visit_traffic(config, visit);
    visit_collisions_and_rules(config, visit);
}

// A field added to the struct must be added to a list above.
static_assert(sizeof(ScenarioConfig) == 244, "visit_fields must name every field of ScenarioConfig");

std::string trimmed(double value) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text;
}

void check(const char* name, double value, double low, double high) {
    if (value >= low && value <= high) return;  // false for NaN
    const std::string allowed =
        high >= kAny ? "at least " + trimmed(low) : "in [" + trimmed(low) + ", " + trimmed(high) + "]";
    throw std::invalid_argument("ScenarioConfig." + std::string(name) + " is " + trimmed(value) + " but must be " +
                                allowed);
}

}  // namespace

ScenarioConfig jaywalk() { return ScenarioConfig{}; }

ScenarioConfig highbeam() {
    ScenarioConfig config;
    config.kind = ScenarioKind::highbeam;
    config.weather = Weather::midnight;
    config.walkers_per_side = 0;
    config.cyclists = 1;
    config.oncoming_vehicles = 3;
    config.high_beam_probability = 1.0f;
    config.road.pavement_width_m = 0.4f;
    config.road.fence_y_m = 4.4f;
    return config;
}

ScenarioConfig highway() {
    ScenarioConfig config;
    config.kind = ScenarioKind::highway;
    config.weather = Weather::day;
    config.road.lanes_forward = config.road.lanes_oncoming = 4;
    config.road.lane_width_m = 3.5f;
    config.road.median_width_m = 2.0f;
    config.road.shoulder_width_m = 2.5f;
    config.road.pavement_width_m = 0.0f;
    config.road.fence_y_m = 18.0f;
    config.road.town = false;
    config.speed_limit_mps = 14.0f;
    config.walkers_per_side = 0;
    config.same_direction_vehicles = 20;
    config.same_direction_speed_min_mps = 4.0f;
    config.same_direction_speed_max_mps = 9.0f;
    config.high_beam_probability = 0.5f;
    return config;
}

void validate(const ScenarioConfig& config) {
    visit_fields(config,
                 [](const char* name, double value, double low, double high) { check(name, value, low, high); });
    if (walkers_needed(config) > kMaxWalkers)
        throw std::invalid_argument("ScenarioConfig.walkers_per_side needs " + std::to_string(walkers_needed(config)) +
                                    " walkers at this group_spacing_m but at most " + std::to_string(kMaxWalkers) +
                                    " fit: lower it or raise group_spacing_m");
    if (vehicles_needed(config) > kMaxVehicles)
        throw std::invalid_argument(
            "ScenarioConfig.same_direction_vehicles, oncoming_vehicles and cyclists add up to " +
            std::to_string(vehicles_needed(config)) + " but at most " + std::to_string(kMaxVehicles) + " fit");
}

std::uint64_t fingerprint(const ScenarioConfig& config) {
    std::uint64_t hash = 0;
    visit_fields(config, [&hash](const char*, double value, double, double) {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        hash = mix(hash ^ bits);
    });
    return hash;
}

}  // namespace semore::driving
