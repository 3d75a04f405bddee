// Everything in the open world, and how the parts that move it and show it find their way around.
#pragma once

#include "contacts.hpp"
#include "ego.hpp"
#include "state.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace semore::driving {

using ActorId = std::uint32_t;  // counts up from 1 and is never used again
constexpr int kOpenVehicles = kMaxVehicles + 1;

// What every actor of the open world has.
struct OpenActor {
    ActorId id = 0;       // 0: the slot is free
    ActorId carrier = 0;  // the vehicle that carries it while its body is carried
    float z_m = 0;        // until the next tick puts it on the ground
    Vec2 velocity, acceleration;  // of the last tick
};

struct OpenWalker : OpenActor {
    Walker walker;
    float speed_x_mps = 0, yaw_rad = 0;
    float pace_mps = 0;  // of the last tick
};

struct OpenVehicle : OpenActor {
    Ego motion;
    Body body;
    Pedals pedals;
    float speed_limit_mps = std::numeric_limits<float>::infinity();  // of a limiter, as the embedded ego has
    ActorKind kind = ActorKind::car;
    std::uint8_t colour[3] = {128, 128, 128};
    std::uint8_t style = 0, lights = 0;
    bool reporting = false;
    std::uint8_t barrier_touching = 0;
    float length_m = 0, width_m = 0, height_m = 0, phase_rad = 0;

    bool active() const { return id != 0 && body.status == BodyStatus::active; }
    bool cyclist() const { return kind == ActorKind::cyclist; }
    Car car() { return {motion, length_m, width_m}; }
    Box box() const { return {{motion.x_m, motion.y_m}, motion.yaw_rad, length_m, width_m}; }
};

// The impulse acts on `actor`; its norm, rounded to float, is the simulator's own to the last bit.
struct CollisionRow {
    ActorId actor, other;  // other 0: fence, guard rail or barrier
    float impulse_x_ns, impulse_y_ns;
    std::uint8_t begun;  // 0 while a contact lasts
};

struct OpenState {
    OpenWalker walkers[kMaxWalkers];
    OpenVehicle vehicles[kOpenVehicles];
    std::uint8_t touching[kOpenVehicles][kOpenVehicles] = {};  // of the previous tick; [striker][other]
    std::vector<CollisionRow> collisions;                      // of the last tick

    OpenVehicle* find_vehicle(ActorId id) {
        if (id == 0) return nullptr;
        for (OpenVehicle& vehicle : vehicles)
            if (vehicle.id == id) return &vehicle;
        return nullptr;
    }
    OpenWalker* find_walker(ActorId id) {
        if (id == 0) return nullptr;
        for (OpenWalker& walker : walkers)
            if (walker.id == id) return &walker;
        return nullptr;
    }
};

Box box_of(const Walker& walker);

// One dt: people walk, vehicles drive, contacts are resolved, whoever was struck is carried or slides.
void advance_open_world(const ScenarioConfig& config, OpenState& state);

// Contacts of all vehicles with people, with one another and with the road's barriers.
void resolve_open_collisions(const ScenarioConfig& config, OpenState& state);

// An event of the last tick. Only vehicles that report have any.
void record_hit(OpenState& state, const OpenVehicle& actor, ActorId other, const Hit& hit);

// Velocity along the road's axes, whatever has become of them.
Vec2 velocity_of(OpenState& state, const OpenWalker& walker);
Vec2 velocity_of(OpenState& state, const OpenVehicle& vehicle);

// Puts down everybody whom a vehicle carries, and forgets whom it touched.
void let_go(OpenState& state, const OpenVehicle& vehicle);

}  // namespace semore::driving
