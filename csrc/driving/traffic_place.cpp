#include "traffic_place.hpp"

#include "rng.hpp"
#include "road.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kStartGap_m = 9.0f;  // free road kept between neighbours of a lane when placing
constexpr float kOncomingGap_m = 20.0f;
constexpr int kPlaceAttempts = 24;
constexpr float kOncomingAgainFrom_m = 90.0f, kOncomingAgainTo_m = 160.0f;
constexpr float kSameAgainFrom_m = 150.0f, kSameAgainTo_m = 220.0f;

struct Shape {
    float length_m, width_m, height_m;
};

Shape shape_of(ActorKind kind) {
    switch (kind) {
        case ActorKind::van: return {5.9f, 2.0f, 2.6f};
        case ActorKind::truck: return {8.4f, 2.5f, 3.2f};
        case ActorKind::police_car: return {5.0f, 1.95f, 1.6f};
        case ActorKind::cyclist: return {1.8f, 0.6f, 1.75f};
        default: return {4.6f, 1.85f, 1.5f};
    }
}

struct Span {
    float from_m, to_m;
};

std::uint64_t draw_index(int slot, int lives) {
    return static_cast<std::uint64_t>(slot) << 32 | static_cast<std::uint32_t>(lives);
}

std::uint8_t lights_of(const ScenarioConfig& config, const Vehicle& vehicle, bool everything_on) {
    if (vehicle.kind == ActorKind::cyclist) return lights_none;
    const bool siren = vehicle.kind == ActorKind::police_car || (vehicle.style & 1);
    const bool beacon = siren && vehicle.kind != ActorKind::car;
    if (everything_on)
        return static_cast<std::uint8_t>(lights_low_beam | lights_high_beam | lights_tail |
                                         (beacon ? lights_beacon : 0));
    return static_cast<std::uint8_t>(config.weather == Weather::day ? 0 : lights_low_beam | lights_tail);
}

void paint(Vehicle& vehicle, std::uint64_t look) {
    static const std::uint8_t palette[8][3] = {{235, 235, 235}, {24, 24, 28},   {120, 124, 130}, {170, 20, 24},
                                               {24, 50, 120},   {190, 150, 40}, {30, 80, 50},    {180, 180, 186}};
    const std::uint8_t* colour = palette[look % 8];
    static const std::uint8_t fire_red[3] = {190, 16, 16}, ambulance_white[3] = {240, 240, 236};
    if (vehicle.kind == ActorKind::truck && (vehicle.style & 1)) colour = fire_red;
    if (vehicle.kind == ActorKind::van && (vehicle.style & 1)) colour = ambulance_white;
    std::copy(colour, colour + 3, vehicle.colour);
}

ActorKind kind_of(int slot, const ScenarioConfig& config, std::uint64_t look) {
    if (slot < config.cyclists) return ActorKind::cyclist;
    static const ActorKind mix[8] = {ActorKind::car, ActorKind::car,   ActorKind::car,   ActorKind::car,
                                     ActorKind::van, ActorKind::truck, ActorKind::truck, ActorKind::police_car};
    return mix[(look >> 8) % 8];
}

void dress(const ScenarioConfig& config, WorldState& state, int slot, std::uint64_t index) {
    Vehicle& vehicle = state.vehicles[slot];
    const std::uint64_t look = draw_bits(state.seed, Draw::vehicle_look, index);
    vehicle.kind = kind_of(slot, config, look);
    vehicle.style = static_cast<std::uint8_t>(look >> 16);
    const Shape shape = shape_of(vehicle.kind);
    vehicle.length_m = shape.length_m;
    vehicle.width_m = shape.width_m;
    vehicle.height_m = shape.height_m;
    paint(vehicle, look >> 24);
    const bool everything_on = draw_unit(state.seed, Draw::vehicle_look, index, 1) < config.high_beam_probability;
    vehicle.lights = lights_of(config, vehicle, everything_on);
}

bool lane_is_free(const WorldState& state, int slot, float x_m, float gap_m) {
    const Vehicle& me = state.vehicles[slot];
    for (int i = 0; i < state.vehicle_count; ++i) {
        const Vehicle& other = state.vehicles[i];
        if (i == slot || other.length_m == 0 || other.direction != me.direction || other.lane != me.lane) continue;
        if (std::abs(other.x_m - x_m) < 0.5f * (other.length_m + me.length_m) + gap_m) return false;
    }
    return true;
}

void choose_lane(const ScenarioConfig& config, WorldState& state, int slot, std::uint64_t index, int attempt) {
    Vehicle& vehicle = state.vehicles[slot];
    const int lanes = lane_count(config.road, vehicle.direction);
    const float unit = draw_unit(state.seed, Draw::vehicle_place, index, 2 * static_cast<std::uint64_t>(attempt) + 16);
    vehicle.lane = static_cast<std::int8_t>(
        vehicle.kind == ActorKind::cyclist ? lanes - 1
                                           : std::min(lanes - 1, static_cast<int>(unit * static_cast<float>(lanes))));
}

// Draws places until one is free; failing that, beyond everyone in the lane.
void choose_place(const ScenarioConfig& config, WorldState& state, int slot, std::uint64_t index, Span span) {
    Vehicle& vehicle = state.vehicles[slot];
    const float gap = vehicle.direction < 0 ? kOncomingGap_m : kStartGap_m;
    for (int attempt = 0; attempt < kPlaceAttempts; ++attempt) {
        choose_lane(config, state, slot, index, attempt);
        vehicle.x_m = draw_between(span.from_m, span.to_m, state.seed, Draw::vehicle_place, index,
                                   2 * static_cast<std::uint64_t>(attempt) + 17);
        if (lane_is_free(state, slot, vehicle.x_m, gap)) return;
    }
    while (!lane_is_free(state, slot, vehicle.x_m, gap)) vehicle.x_m += gap;
}

void choose_speed(const ScenarioConfig& config, WorldState& state, int slot, std::uint64_t index) {
    Vehicle& vehicle = state.vehicles[slot];
    float unit = draw_unit(state.seed, Draw::vehicle_place, index, 0);
    if (vehicle.kind == ActorKind::cyclist) {
        vehicle.desired_mps =
            config.cyclist_speed_min_mps + unit * (config.cyclist_speed_max_mps - config.cyclist_speed_min_mps);
    } else if (vehicle.direction < 0) {
        vehicle.desired_mps =
            config.oncoming_speed_min_mps + unit * (config.oncoming_speed_max_mps - config.oncoming_speed_min_mps);
    } else {
        // Half of the spread belongs to the lane (the left ones are faster), half to the driver.
        const int last = std::max(1, config.road.lanes_forward - 1);
        unit = 0.5f * unit + 0.5f * static_cast<float>(last - vehicle.lane) / static_cast<float>(last);
        vehicle.desired_mps = config.same_direction_speed_min_mps +
                              unit * (config.same_direction_speed_max_mps - config.same_direction_speed_min_mps);
    }
    vehicle.speed_mps = vehicle.desired_mps;
}

// Cyclists keep to the right edge, oncoming vehicles lean towards the centre of the road, the rest keep their lane.
void choose_offset(const ScenarioConfig& config, WorldState& state, int slot, std::uint64_t index) {
    Vehicle& vehicle = state.vehicles[slot];
    const float unit = draw_unit(state.seed, Draw::vehicle_place, index, 1);
    if (vehicle.kind == ActorKind::cyclist) vehicle.lane_offset_m = cyclist_offset(config, unit);
    else if (vehicle.direction < 0) vehicle.lane_offset_m = -unit * config.oncoming_lean_max_m;
    else vehicle.lane_offset_m = 0.3f * (unit - 0.5f);
    vehicle.y_m = lane_centre_y(config.road, vehicle.direction, vehicle.lane) + vehicle.lane_offset_m;
}

void fill(const ScenarioConfig& config, WorldState& state, int slot, int lives, Span span) {
    const std::uint64_t index = draw_index(slot, lives);
    const bool oncoming = slot >= config.cyclists && slot < config.cyclists + config.oncoming_vehicles;
    Vehicle& vehicle = state.vehicles[slot];
    vehicle = Vehicle{};
    vehicle.lives = lives;
    vehicle.direction = oncoming ? -1 : 1;
    dress(config, state, slot, index);
    choose_place(config, state, slot, index, span);
    choose_speed(config, state, slot, index);
    choose_offset(config, state, slot, index);
}

Span start_span(const ScenarioConfig& config, int slot) {
    if (slot < config.cyclists) return {config.cyclist_start_min_m, config.cyclist_start_max_m};
    if (slot < config.cyclists + config.oncoming_vehicles)
        return {config.oncoming_start_min_m, config.oncoming_start_max_m};
    return {config.same_direction_start_min_m, config.same_direction_start_max_m};
}

Span return_span(const ScenarioConfig& config, const Vehicle& vehicle) {
    if (vehicle.kind == ActorKind::cyclist) return {config.cyclist_return_min_m, config.cyclist_return_max_m};
    return vehicle.direction < 0 ? Span{kOncomingAgainFrom_m, kOncomingAgainTo_m}
                                 : Span{kSameAgainFrom_m, kSameAgainTo_m};
}

}  // namespace

float cyclist_offset(const ScenarioConfig& config, float unit) {
    return -0.5f * config.road.lane_width_m + config.cyclist_edge_min_m +
           unit * (config.cyclist_edge_max_m - config.cyclist_edge_min_m);
}

void place_vehicle(const ScenarioConfig& config, WorldState& state, int slot) {
    fill(config, state, slot, 0, start_span(config, slot));
}

void recycle_vehicle(const ScenarioConfig& config, WorldState& state, int slot) {
    const Vehicle& vehicle = state.vehicles[slot];
    const Span ahead = return_span(config, vehicle);
    fill(config, state, slot, vehicle.lives + 1, {state.ego.x_m + ahead.from_m, state.ego.x_m + ahead.to_m});
}

}  // namespace semore::driving
