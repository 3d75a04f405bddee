// The scenario's rules without a world: who stands and drives where, who sets out when, and how a frame is judged. Some
// other world (a CARLA server) holds the bodies; the director is told where they are. Same draws in the same order as
// the embedded simulator.
#pragma once

#include "scenario.hpp"
#include "state.hpp"
#include "world.hpp"

#include <cstdint>
#include <vector>

namespace semore::driving {

struct EgoPlace {
    float x_m = 0, y_m = 0;
    std::int32_t lane = 0;
    std::uint8_t lights = 0;  // scene.hpp, Lights
};

struct WalkerPlace {
    float x_m = 0, y_m = 0, yaw_rad = 0;
    std::uint8_t colour[3] = {0, 0, 0};
    std::uint8_t style = 0;
};

struct VehiclePlace {
    float x_m = 0, y_m = 0;
    float speed_mps = 0, desired_mps = 0;
    float lane_offset_m = 0;  // preferred place left of its lane's centre line (+y)
    float length_m = 0, width_m = 0, height_m = 0;
    ActorKind kind = ActorKind::car;
    std::int8_t direction = 1, lane = 0;
    std::uint8_t lights = 0, style = 0;
    std::uint8_t colour[3] = {0, 0, 0};
};

// What another world tells of one of its bodies.
enum class Seen : std::uint8_t {
    up = 0,      // walks or rides as it is told
    struck = 1,  // carried or down
    gone = 2,    // removed, or far behind: its slot may be used again
};

struct SeenBody {
    float x_m = 0, y_m = 0;
    Seen status = Seen::up;
};

enum class Order : std::uint8_t {
    none = 0,   // as before
    walk = 1,   // sets out at `speed_y_mps`
    stop = 2,   // arrives in this frame: at `y_m` after it, then stands
    fresh = 3,  // another person, in another place
};

struct WalkerOrder {
    float speed_y_mps = 0;  // of this frame, signed: y + speed_y_mps * dt_s is exactly where it is after it
    WalkerPlace place;      // after this frame; yaw as the embedded simulator draws it
    Order order = Order::none;
};

struct VehicleOrder {
    VehiclePlace place;
    bool moved = false;    // to a new place ahead
    bool swerved = false;  // another lane offset
};

class Director {
 public:
    // Throws std::invalid_argument naming the field that has a bad value.
    explicit Director(const ScenarioConfig& config);

    // Draws an episode's start. The warm-up's frames follow, then begin().
    void start(std::uint64_t seed);
    void begin();

    const ScenarioConfig& config() const { return config_; }
    EgoPlace ego() const;
    std::vector<WalkerPlace> walkers() const;
    std::vector<VehiclePlace> vehicles() const;

    // Orders for the frame to come, from where everybody is now; one row a slot each.
    // Throws std::invalid_argument for another number of rows.
    void advance(float ego_x_m, const std::vector<SeenBody>& walkers, const std::vector<SeenBody>& vehicles,
                 std::vector<WalkerOrder>& walker_orders, std::vector<VehicleOrder>& vehicle_orders);

    // Judges the frame that has passed and counts it; velocities in the road's axes. The sum since the last take().
    const TickResult& judge(const EgoState& ego, Control control, float crash_intensity_ns, int new_hits);
    TickResult take();

 private:
    void order_walker(int slot, const Walker& before, WalkerOrder& order) const;
    void order_vehicle(int slot, VehicleOrder& order);

    ScenarioConfig config_;
    WorldState state_;
    TickResult sum_;
};

}  // namespace semore::driving
