// The whole mutable state of a world: plain fixed-size data, so that saving it, restoring it and copying it for a
// planner's rollouts are one memcpy. Fields are ordered so that no struct has padding: equal states are equal bytes.
#pragma once

#include "scene.hpp"

#include <cstdint>
#include <type_traits>

namespace semore::driving {

constexpr int kMaxWalkers = 48;
constexpr int kMaxVehicles = 32;  // cyclists included

struct Ego {
    float x_m = 0, y_m = 0, yaw_rad = 0;
    float forward_mps = 0, sideways_mps = 0;  // velocity in the car's own frame, sideways to the left
    float yaw_rate_rps = 0;
    float wheel_angle_rad = 0;  // front road wheels, after steering lag
};

// What has become of a person, a cyclist or a vehicle that the ego may have struck.
enum class BodyStatus : std::uint8_t {
    active = 0,   // walks or rides
    carried = 1,  // moves with the ego until the ego brakes: against its front, or bodywork hooked into bodywork
    down = 2,     // lies on the road, no longer in anyone's way
    gone = 3,     // removed; its slot waits to be used again
};

struct Body {
    float carried_x_m = 0, carried_y_m = 0;  // place in the ego's frame while carried
    float peak_mps = 0;                      // highest ego speed since the contact began
    float slide_mps = 0;                     // speed along x while sliding to rest after release
    std::int32_t carried_frames = 0, down_frames = 0;
    BodyStatus status = BodyStatus::active;
    std::uint8_t touching = 0;  // in contact with the ego at the previous tick
    std::uint8_t spare[2] = {0, 0};
};

struct Walker {
    Body body;
    float x_m = 0, y_m = 0, speed_y_mps = 0, phase_rad = 0;
    std::int32_t group = 0;  // ordinal of its group along the endless road
    std::int8_t home_side = 1;
    std::uint8_t style = 0;
    std::uint8_t spare[2] = {0, 0};
    std::uint8_t colour[4] = {0, 0, 0, 0};
};

struct Vehicle {
    Body body;
    float x_m = 0, y_m = 0;
    float speed_mps = 0, desired_mps = 0, accel_mps2 = 0;  // along its own direction of travel
    float sideways_mps = 0;
    float lane_offset_m = 0;  // preferred place left of its lane's centre line (+y)
    float phase_rad = 0;
    float length_m = 0, width_m = 0, height_m = 0;
    std::int32_t struck_frames = 0;   // its driver brakes while this counts down
    std::int32_t settled_frames = 0;  // since its last lane change
    std::int32_t lives = 0;           // how often the slot was used again ahead of the ego
    ActorKind kind = ActorKind::car;
    std::int8_t direction = 1;  // +1 drives towards +x
    std::int8_t lane = 0;       // 0 is next to the centre of the road
    std::uint8_t lights = 0;
    std::uint8_t colour[3] = {0, 0, 0};
    std::uint8_t style = 0;
};

struct WorldState {
    std::uint64_t seed = 0;
    std::uint64_t chance_key = 0;  // key of the draws still to come; a planner replaces it in its copies
    Ego ego;
    float walker_speed_mps[2] = {0, 0};  // [0] of those who cross from the right, [1] from the left
    std::int32_t frame = 0, ticks = 0;   // frame restarts after the warm-up, ticks does not
    std::int32_t walker_draws = 0;
    std::int32_t collision_streak = 0;  // consecutive frames with a collision impulse
    std::int32_t walker_count = 0, vehicle_count = 0;
    std::uint8_t end = 0;
    std::uint8_t barrier_touching = 0;
    std::uint8_t spare[2] = {0, 0};
    Walker walkers[kMaxWalkers];
    Vehicle vehicles[kMaxVehicles];
};

static_assert(std::is_trivially_copyable<WorldState>::value, "saved and copied with memcpy");
static_assert(sizeof(Ego) == 28 && sizeof(Body) == 28 && sizeof(Walker) == 28 + 28 && sizeof(Vehicle) == 28 + 64,
              "no padding inside");
static_assert(sizeof(WorldState) ==
                  16 + 28 + 8 + 24 + 4 + kMaxWalkers * sizeof(Walker) + kMaxVehicles * sizeof(Vehicle),
              "no padding inside");

}  // namespace semore::driving
