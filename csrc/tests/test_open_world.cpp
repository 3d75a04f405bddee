#include "open_world_checks.hpp"
#include "open_world_monkey.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

namespace semore::driving {
namespace {

const DriverInput kFullThrottle{0, 1, 0, false, false};

float norm(const CollisionRow& row) {
    const double x = row.impulse_x_ns, y = row.impulse_y_ns;
    return static_cast<float>(std::sqrt(x * x + y * y));
}

Box box_of_row(const ActorRow& row) { return {{row.x_m, row.y_m}, row.yaw_rad, kEgoLength_m, kEgoWidth_m}; }

float deepest_overlap(OpenWorld& world) {
    float deepest = 0;
    const std::vector<ActorRow> rows = world.actors();
    for (std::size_t i = 0; i < rows.size(); ++i)
        for (std::size_t j = i + 1; j < rows.size(); ++j) {
            Contact contact;
            if (find_contact(box_of_row(rows[i]), box_of_row(rows[j]), {}, contact))
                deepest = std::max(deepest, contact.depth_m);
        }
    return deepest;
}

void test_places_and_slots() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId first = car_at(world, 0, -2);
    CHECK(first == 1 && car_at(world, 4, -2) == 0 && car_at(world, 5, -2) == 2);
    CHECK(world.spawn_walker({}, {1, -1.5f, 0, 0}) == 0 && world.spawn_walker({}, {0, 8.9f, 0, 0}) == 0);
    CHECK(car_at(world, 40, 8.5f) == 0);  // in the fence
    const ActorId walker = world.spawn_walker({}, {20, 6.5f, 0, 0});
    CHECK(walker == 3 && row_of(world, walker).instance_id == 1 && row_of(world, first).instance_id == 49);
    world.remove(first);
    CHECK(throws<std::invalid_argument>([&] { world.remove(first); }));
    CHECK(throws<std::invalid_argument>([&] { world.control_vehicle(walker, {}); }));
    const ActorId again = car_at(world, 0, -2);
    CHECK(again == 4 && row_of(world, again).instance_id == 49);  // another id in the freed slot
    for (int i = 2; i < kOpenVehicles; ++i) CHECK(car_at(world, 10.0f * static_cast<float>(i), 2) > 0);
    CHECK(throws<OpenWorldFull>([&] { car_at(world, 900, 2); }));
    for (int i = 1; i < kMaxWalkers; ++i) CHECK(world.spawn_walker({}, {30.0f + static_cast<float>(i), 6.5f, 0, 0}) > 0);
    CHECK(throws<OpenWorldFull>([&] { world.spawn_walker({}, {900, 6.5f, 0, 0}); }));
    CHECK(world.actors().size() == kMaxWalkers + kOpenVehicles);
}

void test_bad_input_is_named() {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId car = car_at(world, 0, -2);
    CHECK(throws<std::invalid_argument>([&] { OpenWorld(jaywalk().road, 0.2f); }));
    CHECK(throws<std::invalid_argument>([&] { car_at(world, nan, 0); }));
    CHECK(throws<std::invalid_argument>([&] { world.control_vehicle(car, {2, 0, 0, false, false}); }));
    CHECK(throws<std::invalid_argument>([&] { world.place(car, {0, 0, 0, nan}); }));
    CHECK(throws<std::invalid_argument>([&] { world.set_velocity(car, nan, 0); }));
    CHECK(throws<std::invalid_argument>([&] { world.set_lights(car, 32); }));
    CHECK(throws<std::invalid_argument>([&] { world.open_camera({15, 64, 90, 1}); }));
    CHECK(throws<std::invalid_argument>([&] { world.open_camera({2048, 64, 90, 3}); }));
    CHECK(throws<std::invalid_argument>([&] { world.open_camera({64, 64, nan, 1}); }));
    CHECK(throws<std::invalid_argument>([&] { world.render(1, 0, {}, {}); }));
}

void test_gears_and_brakes() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId car = car_at(world, 0, -2);
    world.control_vehicle(car, {0, 1, 0, false, true});
    for (int i = 0; i < 400; ++i) world.tick();
    CHECK(row_of(world, car).vx_mps < -7 && row_of(world, car).vx_mps > -8.1f);
    world.control_vehicle(car, {0, 0, 0, true, false});
    for (int i = 0; i < 60; ++i) world.tick();
    CHECK(row_of(world, car).vx_mps == 0);
    const float x = row_of(world, car).x_m;
    for (int i = 0; i < 20; ++i) world.tick();
    CHECK(row_of(world, car).x_m == x);
    world.control_vehicle(car, {0.3f, 0.5f, 0, false, true});
    for (int i = 0; i < 40; ++i) world.tick();
    CHECK(row_of(world, car).yaw_rad > 0.05f);  // backwards with the wheels to the right turns the nose left
}

void test_no_speed_limiter_and_acceleration() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId car = car_at(world, 0, -2);
    world.control_vehicle(car, kFullThrottle);
    world.tick();
    CHECK(std::abs(row_of(world, car).ax_mps2 - 4.4f) < 0.3f);
    for (int i = 0; i < 400; ++i) world.tick();
    CHECK(row_of(world, car).vx_mps > 30);
}

// Two heroes head on: each is told of the other, momentum is kept, and they do not sink in.
void test_two_reporting_vehicles() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId a = car_at(world, 0, -2), b = car_at(world, 30, -2.3f, kPi);
    world.set_reporting(a, true);
    world.set_reporting(b, true);
    world.set_velocity(a, 12, 0);
    world.set_velocity(b, -8, 0);
    std::vector<CollisionRow> blow;
    for (int i = 0; i < 60 && blow.empty(); ++i) {
        world.tick();
        blow = world.collisions();
    }
    CHECK(blow.size() == 2 && blow[0].actor == a && blow[0].other == b && blow[1].actor == b && blow[1].other == a);
    CHECK(blow[0].impulse_x_ns < -15000 && blow[0].impulse_x_ns == -blow[1].impulse_x_ns && blow[0].begun);
    const ActorRow after = row_of(world, a);
    CHECK(std::abs(after.vx_mps - row_of(world, b).vx_mps) < 1e-3f && after.vx_mps > 0.5f && after.vx_mps < 3);
    CHECK(deepest_overlap(world) < 1e-3f);
    world.control_vehicle(a, kFullThrottle);
    for (int i = 0; i < 40; ++i) {
        world.tick();
        for (const CollisionRow& row : world.collisions()) CHECK(!row.begun || i > 0);
        CHECK(deepest_overlap(world) < 0.02f);
    }
}

// A reporting car hooks what it hits, as the embedded ego does, and sheds it when it stands.
void test_reporting_vehicle_carries_traffic() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId hero = car_at(world, 0, -2), other = car_at(world, 12, -2);
    world.set_reporting(hero, true);
    world.set_velocity(hero, 10, 0);
    float first = 0, lasting = 0;
    for (int i = 0; i < 40; ++i) {
        world.tick();
        for (const CollisionRow& row : world.collisions()) {
            CHECK(row.actor == hero && row.other == other);
            (row.begun ? first : lasting) += norm(row);
        }
    }
    CHECK(std::abs(first - 2650) < 150 && lasting > 500);
    CHECK(row_of(world, other).vx_mps == row_of(world, hero).vx_mps && row_of(world, other).alive);
    world.control_vehicle(hero, {0, 0, 1, false, false});
    for (int i = 0; i < 60; ++i) world.tick();
    CHECK(world.collisions().empty() && row_of(world, hero).vx_mps == 0);
    CHECK(row_of(world, other).x_m - row_of(world, hero).x_m > kEgoLength_m + 0.2f);
}

void test_people_are_struck_and_stand_again() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId car = car_at(world, 0, -2), walker = world.spawn_walker({}, {15, -2, 0, 0});
    world.set_velocity(car, 10, 0);
    for (int i = 0; i < 40; ++i) world.tick();
    CHECK(world.collisions().empty());  // nobody asked for reports
    CHECK(!row_of(world, walker).alive && row_of(world, walker).present && row_of(world, walker).pitch_rad > 0);
    world.remove(car);  // whoever hung on it lies down, and is gone in the end
    for (int i = 0; i < 60; ++i) world.tick();
    CHECK(!row_of(world, walker).present && row_of(world, walker).vx_mps == 0);
    world.place(walker, {5, 6.5f, 0, 0});
    world.control_walker(walker, 0.6f, -0.8f, 2);
    world.tick();
    const ActorRow row = row_of(world, walker);
    CHECK(row.alive && row.present && std::abs(row.x_m - 5.06f) < 1e-4f && std::abs(row.y_m - 6.42f) < 1e-4f);
    CHECK(std::abs(row.yaw_rad + 0.9273f) < 1e-3f);
}

void test_barriers_stop_everyone() {
    OpenWorld world(divided_road(), kTick_s);
    const ActorId right = car_at(world, 0, -3), left = car_at(world, 0, 3, kPi);
    const ActorId walker = world.spawn_walker({}, {50, -3, 0, 0});
    world.set_reporting(right, true);
    world.control_walker(walker, 0, 1, 3);
    world.control_vehicle(right, {-0.3f, 0.5f, 0, false, false});
    world.control_vehicle(left, {-0.3f, 0.5f, 0, false, false});
    float felt = 0;
    for (int i = 0; i < 100; ++i) {
        world.tick();
        for (const CollisionRow& row : world.collisions()) {
            CHECK(row.actor == right && row.other == 0);
            felt += norm(row);
        }
        CHECK(row_of(world, right).y_m < -1 - 0.5f * kEgoWidth_m + 1e-3f);
        CHECK(row_of(world, left).y_m > 1 + 0.5f * kEgoWidth_m - 1e-3f);
    }
    CHECK(felt > 1000 && row_of(world, walker).y_m < 0);
    world.control_walker(walker, 0, -1, 10);
    for (int i = 0; i < 100; ++i) world.tick();
    CHECK(row_of(world, walker).y_m > -18);
}

// A column runs into the back of a standing one, and a third group comes from the side.
void test_pile_does_not_sink_in() {
    OpenWorld world(divided_road(), kTick_s);
    for (int i = 0; i < 12; ++i) {
        const ActorId car = car_at(world, 8.0f * static_cast<float>(i), -4.0f - 3.5f * static_cast<float>(i % 3),
                                   i % 3 == 1 ? 0.5f : 0.0f);
        CHECK(car > 0);
        if (i < 8) world.control_vehicle(car, kFullThrottle);
        if (i % 4 == 0) world.set_reporting(car, true);
    }
    for (int i = 0; i < 600; ++i) {
        world.tick();
        for (const ActorRow& row : world.actors())
            CHECK(std::isfinite(row.x_m) && std::abs(row.vx_mps) < 60 && std::abs(row.y_m) < 18);
    }
    for (const ActorRow& row : world.actors()) world.control_vehicle(row.id, {0, 0, 1, false, false});
    for (int i = 0; i < 100; ++i) world.tick();
    CHECK(deepest_overlap(world) < 0.05f);
}

void test_cyclists_fall() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId bike = world.spawn_vehicle({ActorKind::cyclist, 1.8f, 0.55f, 1.75f}, {}, {20, -2, 0, 0});
    const ActorId car = car_at(world, 0, -2);
    world.set_reporting(bike, true);
    world.set_velocity(car, 12, 0);
    std::vector<CollisionRow> rows;
    for (int i = 0; i < 60 && rows.empty(); ++i) {
        world.tick();
        rows = world.collisions();
    }
    CHECK(rows.size() == 1 && rows[0].actor == bike && rows[0].other == car && rows[0].impulse_x_ns > 1000);
    CHECK(!row_of(world, bike).alive && row_of(world, car).alive);
}

void test_random_operations() {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        Monkey monkey(seed);
        for (int i = 0; i < 25000; ++i) monkey.act();
        monkey.check();
    }
}

}  // namespace
}  // namespace semore::driving

int main() {
    using namespace semore::driving;
    test_places_and_slots();
    test_bad_input_is_named();
    test_gears_and_brakes();
    test_no_speed_limiter_and_acceleration();
    test_two_reporting_vehicles();
    test_reporting_vehicle_carries_traffic();
    test_people_are_struck_and_stand_again();
    test_barriers_stop_everyone();
    test_pile_does_not_sink_in();
    test_cyclists_fall();
    test_random_operations();
    std::puts("open world: all passed");
}
