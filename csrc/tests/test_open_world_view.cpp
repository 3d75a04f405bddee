// What cameras see of the open world.
#include "open_world_checks.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <vector>

namespace semore::driving {
namespace {

// Where `actor` is seen, or what colours it has, by a camera that hangs behind and beside it.
class Follower {
 public:
    explicit Follower(OpenWorld& world) : world_(world), camera_(world.open_camera({kSize, kSize, 60, 1})) {}

    void look(ActorId actor) {
        world_.render(camera_, actor, {-4, -2, 1.2f, 0.35f, 0}, {bgra.data(), nullptr, ids.data(), nullptr});
    }
    int redness() const {
        int sum = 0;
        for (std::size_t i = 0; i < ids.size(); ++i)
            if (ids[i] != 0) sum += bgra[4 * i + 2] - bgra[4 * i];
        return sum;
    }

    static constexpr int kSize = 96;
    std::vector<std::uint8_t> bgra = std::vector<std::uint8_t>(4 * kSize * kSize);
    std::vector<std::uint8_t> ids = std::vector<std::uint8_t>(kSize * kSize);

 private:
    OpenWorld& world_;
    int camera_;
};

void test_brake_lights() {
    OpenWorld world(jaywalk().road, kTick_s);
    world.set_scene(Weather::midnight, false, 1);
    const ActorId car = car_at(world, 20, -2);
    Follower follower(world);
    follower.look(car);
    const int dark = follower.redness();
    world.control_vehicle(car, {0, 0, 0.5f, false, false});
    follower.look(car);
    CHECK(follower.redness() > dark + 1000);
    world.control_vehicle(car, {});
    follower.look(car);
    CHECK(follower.redness() == dark);
}

// The camera rides along with a bike: nothing but its pedals and wheels can move in the picture.
void test_cyclists_pedal() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId bike = world.spawn_vehicle({ActorKind::cyclist, 1.8f, 0.55f, 1.75f}, {}, {20, -2, 0, 0});
    Follower follower(world);
    follower.look(bike);
    const std::vector<std::uint8_t> before = follower.ids;
    world.tick();
    follower.look(bike);
    CHECK(follower.ids == before);
    world.set_velocity(bike, 0.5f, 0);
    world.tick();
    follower.look(bike);
    CHECK(follower.ids != before);
}

// The picture of the owner's own camera leaves it out; any other camera shows it.
void test_owner_is_drawn_from_outside() {
    OpenWorld world(jaywalk().road, kTick_s);
    const ActorId car = car_at(world, 20, -2);
    const int camera = world.open_camera({64, 48, 90, 1});
    std::vector<std::uint8_t> ids(64 * 48), bgra(4 * 64 * 48);
    const auto sees = [&](ActorId owner, const Mount& mount) {
        world.render(camera, owner, mount, {bgra.data(), nullptr, ids.data(), nullptr});
        return std::count(ids.begin(), ids.end(), 49);
    };
    CHECK(sees(car, {}) == 0);
    CHECK(sees(car, {-8, 0, 3, 0, -0.2f}) > 60);
    CHECK(sees(car, {0, 0, 8, 0, -0.5f * kPi}) > 60);  // from above
    CHECK(sees(0, {10, -2, 1.5f, 0, 0}) > 30 && sees(0, {30, -2, 1.5f, 0, 0}) == 0);
    CHECK(bgra[3] == 255);
    world.close_camera(camera);
    CHECK(throws<std::invalid_argument>([&] { sees(car, {}); }));
}

}  // namespace
}  // namespace semore::driving

int main() {
    using namespace semore::driving;
    test_brake_lights();
    test_cyclists_pedal();
    test_owner_is_drawn_from_outside();
    std::puts("open world's view: all passed");
}
