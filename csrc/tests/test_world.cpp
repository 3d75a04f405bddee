#include "check.hpp"
#include "driving/world.hpp"
#include "reference_drivers.hpp"
#include "world_parts_tests.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace semore::driving {
namespace {

// Few planned drives: they are the slow part, above all under the sanitizers.
#if defined(__SANITIZE_ADDRESS__)
constexpr int kPlannedEpisodes = 1, kPlannedFrames = 160;
#else
constexpr int kPlannedEpisodes = 4, kPlannedFrames = 500;
#endif

template <typename Error, typename Call>
std::string message_of(Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was thrown";
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

ScenarioConfig empty_road() {
    ScenarioConfig config = jaywalk();
    config.walkers_per_side = 0;
    return config;
}

// A driver that wanders: any seedless function of the frame will do.
Control wander(int frame) {
    const float t = static_cast<float>(frame);
    return {0.15f * std::sin(0.13f * t), 0.4f + 0.6f * std::sin(0.05f * t)};
}

EndReason drive_to_end(World& world, Control control) {
    while (world.end() == EndReason::running) world.tick(control.steer, control.drive);
    return world.end();
}

void test_every_end_is_reachable() {
    World world(empty_road());
    CHECK(drive_to_end(world, {0, 0.5f}) == EndReason::time_limit && world.frame() == 500);
    world.reset(1);
    CHECK(drive_to_end(world, {0, 0}) == EndReason::stuck && world.frame() == 100);
    world.reset(1);
    CHECK(drive_to_end(world, {0.25f, 1}) == EndReason::collisions);  // into the fence
    ScenarioConfig wide = empty_road();
    wide.road.fence_y_m = 100;
    World field(wide);
    bool turned = false;
    while (field.end() == EndReason::running) {  // back past the start
        turned |= field.ego().y_m > 0 && std::abs(field.ego().heading_error_rad) < 0.1f;
        field.tick(turned ? 0.0f : -0.5f, 0.4f);
    }
    CHECK(field.end() == EndReason::off_road && field.ego().x_m < -10);
    CHECK(contains(message_of<std::logic_error>([&] { field.tick(0, 0); }), "call reset"));
}

void test_stuck_only_at_multiples_of_hundred() {
    World world(empty_road());
    world.reset(2);
    for (int frame = 0; frame < 250 && world.end() == EndReason::running; ++frame) {
        const bool near_check = frame % 100 > 85 || frame % 100 < 2;
        world.tick(0, near_check ? 0.3f : -1.0f);  // stands still between the checks
    }
    CHECK(world.end() == EndReason::running);
}

void test_reward_arithmetic() {
    for (RewardKind kind : {RewardKind::dmr, RewardKind::zhang}) {
        ScenarioConfig config = jaywalk();
        config.reward = kind;
        World world(config);
        world.reset(4);
        double collisions = 0;
        for (int frame = 0; frame < 200 && world.end() == EndReason::running; ++frame) {
            const float steer = frame % 40 < 2 ? 0.2f : 0.0f, drive = frame % 50 < 45 ? 0.8f : -0.3f;
            const TickResult tick = world.tick(steer, drive);
            const bool dmr = kind == RewardKind::dmr;
            const float brake = drive < 0 ? 0.3f : 0.0f;
            const float expected = world.ego().v_s * 0.05f - (dmr ? 1e-3f : 1e-4f) * tick.crash_intensity_ns -
                                   (dmr ? 0.1f : 0.0f) * brake - (dmr ? 0.1f : 1.0f) * steer;
            CHECK(std::abs(tick.reward - expected) < 1e-5f);
            CHECK(tick.frames == 1 && tick.brake == brake && tick.steer_abs == steer);
            CHECK(tick.distance_m == tick.reward_progress);
            collisions += tick.crash_intensity_ns;
        }
        CHECK(collisions > 0);
    }
}

void test_oncoming_lane_counts_backwards() {
    World world(empty_road());
    world.reset(1);
    while (world.ego().y_m < 1.2f && world.frame() < 200)
        world.tick(world.frame() > 40 && world.ego().y_m < 0 ? -0.05f : 0.05f, 0.5f);
    CHECK(world.ego().y_m > 0 && world.ego().speed_mps > 3);
    CHECK(world.ego().v_s < -0.8f * world.ego().speed_mps);
    CHECK(std::abs(std::abs(world.ego().heading_error_rad) - 3.1416f) < 0.5f);
}

bool same_bytes(const World& a, const World& b) { return a.save() == b.save(); }

void test_seeds_decide_everything() {
    for (const ScenarioConfig& config : {jaywalk(), highbeam(), highway()}) {
        World a(config), b(config), c(config);
        b.reset(77);
        while (b.frame() < 50 && b.end() == EndReason::running) b.tick(0.1f, 1);
        a.reset(5);
        b.reset(5);  // whatever happened before
        c.reset(6);
        CHECK(same_bytes(a, b) && !same_bytes(a, c));
        for (int i = 0; i < 300 && a.end() == EndReason::running; ++i) {
            const Control control = wander(i);
            const TickResult x = a.tick(control.steer, control.drive), y = b.tick(control.steer, control.drive);
            CHECK(std::memcmp(&x, &y, sizeof x) == 0);
        }
        CHECK(same_bytes(a, b));
    }
}

void test_restore_continues_bit_for_bit() {
    for (const ScenarioConfig& config : {jaywalk(), highbeam(), highway()}) {
        World original(config), copy(config);
        original.reset(11);
        for (int i = 0; i < 90; ++i) original.tick(wander(i).steer, wander(i).drive);
        const std::vector<std::uint8_t> saved = original.save();
        copy.reset(99);
        copy.restore(saved.data(), saved.size());
        for (int i = 90; i < 400 && original.end() == EndReason::running; ++i) {
            const TickResult x = original.tick(wander(i).steer, wander(i).drive);
            const TickResult y = copy.tick(wander(i).steer, wander(i).drive);
            CHECK(std::memcmp(&x, &y, sizeof x) == 0);
        }
        CHECK(original.frame() > 95 && same_bytes(original, copy));
    }
}

void test_restore_rejects_what_is_not_its_own() {
    World world(jaywalk()), other(highbeam());
    const std::vector<std::uint8_t> good = world.save();
    const auto problem = [&](World& target, std::vector<std::uint8_t> data) {
        return message_of<std::invalid_argument>([&] { target.restore(data.data(), data.size()); });
    };
    CHECK(contains(problem(world, {good.begin(), good.end() - 1}), "size"));
    CHECK(contains(problem(other, good), "scenario"));
    std::vector<std::uint8_t> bad = good;
    bad[4] += 1;
    CHECK(contains(problem(world, bad), "version"));
    bad = good;
    bad[200] ^= 1;
    CHECK(contains(problem(world, bad), "damaged"));
    CHECK(world.save() == good);
}

void test_bad_input_is_named() {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto reject = [](const ScenarioConfig& config) {
        return message_of<std::invalid_argument>([&] { World world(config); });
    };
    ScenarioConfig config = jaywalk();
    config.dt_s = nan;
    CHECK(contains(reject(config), "dt_s"));
    config = jaywalk();
    config.walker_speed_max_mps = 0.5f;
    CHECK(contains(reject(config), "walker_speed_max_mps"));
    config = jaywalk();
    config.walkers_per_side = 20;
    CHECK(contains(reject(config), "walkers_per_side"));
    config = highway();
    config.cyclists = 20;
    CHECK(contains(reject(config), "cyclists"));
    World world(jaywalk());
    CHECK(contains(message_of<std::invalid_argument>([&] { world.tick(nan, 0); }), "steer"));
    CHECK(contains(message_of<std::invalid_argument>([&] { world.tick(0, nan); }), "drive"));
    CHECK(world.frame() == 0);
}

// The road never runs out of people, cyclists or traffic, and what the camera gets is consistent.
void test_scenes_stay_populated() {
    for (const ScenarioConfig& config : {jaywalk(), highbeam(), highway()}) {
        World world(config);
        world.reset(8);
        while (world.end() == EndReason::running) {
            const Control control = keep_offset(0.6f)(world);
            world.tick(control.steer, 0.7f);
            const SceneView scene = world.scene();
            bool used[256] = {};
            int ahead = 0;
            for (int i = 0; i < scene.actor_count; ++i) {
                const ActorView& actor = scene.actors[i];
                CHECK(actor.instance_id > 0 && !used[actor.instance_id]);
                used[actor.instance_id] = true;
                ahead += actor.x_m > scene.ego_x_m && actor.x_m < scene.ego_x_m + 200;
                CHECK(actor.length_m > 0 && actor.height_m > 0);
            }
            CHECK(ahead >= 1);
            ActorState nearest[8];
            const int count = world.nearby(nearest, 8);
            for (int i = 1; i < count; ++i)
                CHECK(std::hypot(nearest[i - 1].dx_m, nearest[i - 1].dy_m) <=
                      std::hypot(nearest[i].dx_m, nearest[i].dy_m));
        }
    }
}

void test_not_drawn_control_changes_only_the_picture() {
    ScenarioConfig hidden_config = jaywalk();
    hidden_config.actors_drawn = false;
    World seen(jaywalk()), hidden(hidden_config);
    seen.reset(3);
    hidden.reset(3);
    for (int i = 0; i < 200 && seen.end() == EndReason::running; ++i) {
        const TickResult x = seen.tick(0, 1), y = hidden.tick(0, 1);
        CHECK(std::memcmp(&x, &y, sizeof x) == 0);
    }
    CHECK(seen.scene().actors[0].drawn && !hidden.scene().actors[0].drawn);
}

// Calibration: seeing must matter. Blind drivers end in collisions, weaving does not help them.
void test_blind_drivers_do_badly() {
    for (const ScenarioConfig& config : {jaywalk(), highbeam(), highway()}) {
        const Drives nothing = drive(config, do_nothing(), 20), straight = drive(config, full_throttle(), 150);
        const Drives woven = drive(config, weave(0.25f, 2, 0), 150);
        CHECK(nothing.episode_return == 0 && nothing.ended_stuck > 0.999);
        CHECK(straight.episode_return > 50 && straight.episode_return < 150);
        CHECK(straight.ended_by_collision > 0.6 && straight.crash_ns > 1600 && straight.crash_ns < 4900);
        const Drives tapping = drive(config, pulse(0.9f), 150);
        CHECK(tapping.episode_return <
              straight.episode_return + 3 * (straight.standard_error + tapping.standard_error));
        CHECK(woven.episode_return < straight.episode_return + 3 * (straight.standard_error + woven.standard_error));
    }
}

void test_planner_drives_well() {
    for (ScenarioConfig config : {jaywalk(), highbeam(), highway()}) {
        config.max_episode_frames = kPlannedFrames;
        const Drives planned = drive(config, privileged(), kPlannedEpisodes);
        CHECK(planned.hits < 0.2 && planned.ended_stuck == 0 && planned.ended_by_collision == 0);
        if (kPlannedFrames == 500)
            CHECK(planned.episode_return > drive(config, full_throttle(), 100).episode_return / 0.65);
        CHECK(planned.distance_m / planned.frames > 0.25);  // above 5 m/s on average
    }
}

}  // namespace
}  // namespace semore::driving

int main() {
    using namespace semore::driving;
    test_straight_line_figures();
    test_cornering_figures();
    test_left_and_right_mirror();
    test_idm_follows_without_collision();
    test_traffic_keeps_apart();
    test_mobil_is_safe();
    test_contact_normals();
    test_two_body_impulse_conserves_momentum();
    test_lasting_contact();
    test_a_struck_person_comes_off_at_a_stop();
    test_walking_into_a_standing_car();
    test_barrier_slides_and_caps();
    test_crossing_rule();
    test_crossing_is_completed();
    test_every_end_is_reachable();
    test_stuck_only_at_multiples_of_hundred();
    test_reward_arithmetic();
    test_oncoming_lane_counts_backwards();
    test_seeds_decide_everything();
    test_restore_continues_bit_for_bit();
    test_restore_rejects_what_is_not_its_own();
    test_bad_input_is_named();
    test_scenes_stay_populated();
    test_not_drawn_control_changes_only_the_picture();
    test_blind_drivers_do_badly();
    test_planner_drives_well();
    std::puts("world: all passed");
}
