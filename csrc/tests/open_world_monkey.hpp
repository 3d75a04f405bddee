// Somebody who does anything to an open world, in any order, and looks whether it stands it.
#pragma once

#include "driving/rng.hpp"
#include "open_world_checks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>

namespace semore::driving {

class Monkey {
 public:
    explicit Monkey(std::uint64_t seed) : seed_(seed), world_(seed % 2 ? divided_road() : jaywalk().road, kTick_s) {
        camera_ = world_.open_camera({16, 24, 80, 1});
    }

    void act() {
        try {
            choose(below(100));
        } catch (const std::invalid_argument&) {  // an actor of the wrong kind, or one that is gone
        } catch (const OpenWorldFull&) {
        }
    }

    void check() {
        for (const ActorRow& row : world_.actors())
            for (const float value : {row.x_m, row.y_m, row.z_m, row.yaw_rad, row.vx_mps, row.vy_mps, row.ax_mps2})
                CHECK(std::isfinite(value));
        for (const CollisionRow& row : world_.collisions()) CHECK(std::isfinite(row.impulse_x_ns + row.impulse_y_ns));
    }

 private:
    int below(int n) { return static_cast<int>(draw_bits(seed_, Draw::rollout, counter_++) % static_cast<unsigned>(n)); }
    float between(float low, float high) { return draw_between(low, high, seed_, Draw::rollout, counter_++); }
    ActorId somebody() { return below(20) == 0 ? ActorId{0} : static_cast<ActorId>(1 + below(last_ + 1)); }
    Pose anywhere() { return {between(0, 120), between(-10, 10), between(0, 2), between(-4, 4)}; }

    void choose(int what) {
        if (what < 30) return world_.tick();
        if (what < 38) return born(world_.spawn_walker({}, anywhere()));
        if (what < 46) return born(world_.spawn_vehicle({static_cast<ActorKind>(below(5))}, {}, anywhere()));
        if (what < 50) return world_.remove(oldest_++ < last_ ? static_cast<ActorId>(oldest_) : somebody());
        if (what < 64)
            return world_.control_vehicle(somebody(), {between(-1, 1), between(0, 1), between(0, 1) * (below(3) == 0),
                                                       below(9) == 0, below(5) == 0});
        if (what < 76) return world_.control_walker(somebody(), between(-1, 1), between(-1, 1), between(0, 8));
        if (what < 82) return world_.place(somebody(), anywhere());
        if (what < 88) return world_.set_velocity(somebody(), between(-40, 40), between(-10, 10));
        if (what < 92) return world_.set_lights(somebody(), below(32));
        if (what < 98) return world_.set_reporting(somebody(), below(2) == 0);
        if (what == 98) return check();
        if (below(3) == 0) look();
    }

    void born(ActorId actor) { last_ = std::max(last_, static_cast<int>(actor)); }

    void look() {
        float depth[16 * 24];
        std::uint8_t bgra[4 * 16 * 24], ids[16 * 24];
        world_.set_scene(static_cast<Weather>(below(5)), below(2) == 0, seed_);
        world_.render(camera_, somebody(), {between(-20, 20), between(-20, 20), between(-5, 40), between(-7, 7),
                                            between(-2, 2)},
                      {bgra, ids, ids, depth});
        for (const float metres : depth) CHECK(metres > 0 && metres <= sky_depth_m);
    }

    std::uint64_t seed_, counter_ = 0;
    OpenWorld world_;
    int camera_ = 0, last_ = 0, oldest_ = 0;
};

}  // namespace semore::driving
