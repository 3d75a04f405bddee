// Threads change no byte, states come back bit for bit, and mistakes are told. Run under ASan, UBSan and TSan.
#include "driving/simulator.hpp"

#include "check.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

using namespace semore::driving;

namespace {

constexpr int envs = 5;
constexpr int size = 32;

SimulatorConfig config_of(const ScenarioConfig& scenario, int threads) {
    SimulatorConfig config;
    config.scenario = scenario;
    config.scenario.max_episode_frames = 60;
    config.camera.image_size = size;
    config.num_envs = envs;
    config.threads = threads;
    return config;
}

// Output arrays with one byte string to compare them by.
struct Arrays {
    std::vector<TickResult> results = std::vector<TickResult>(envs);
    std::vector<float> ego = std::vector<float>(envs * ego_columns);
    std::vector<float> actors = std::vector<float>(envs * actor_rows * actor_columns);
    std::vector<std::uint8_t> rgb = std::vector<std::uint8_t>(envs * 3 * size * size);
    std::vector<std::uint8_t> class_ids = std::vector<std::uint8_t>(envs * size * size);
    std::vector<std::uint8_t> instance_ids = std::vector<std::uint8_t>(envs * size * size);

    StepBuffers buffers() {
        return {results.data(), ego.data(), actors.data(), rgb.data(), class_ids.data(), instance_ids.data()};
    }

    void append_to(std::string& bytes) const {
        for (const TickResult& result : results) {
            const float numbers[] = {result.reward, result.distance_m, result.crash_intensity_ns, result.brake};
            bytes.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
            bytes.push_back(static_cast<char>(result.end));
        }
        bytes.append(reinterpret_cast<const char*>(ego.data()), ego.size() * sizeof(float));
        bytes.append(reinterpret_cast<const char*>(actors.data()), actors.size() * sizeof(float));
        for (const auto* plane : {&rgb, &class_ids, &instance_ids}) bytes.append(plane->begin(), plane->end());
    }
};

std::vector<float> actions_at(int step) {
    std::vector<float> actions(envs * 2);
    for (int env = 0; env < envs; ++env) {
        actions[2 * env] = 0.2f * std::sin(0.3f * static_cast<float>(step + env));
        actions[2 * env + 1] = 1.0f - 0.2f * static_cast<float>(env);
    }
    return actions;
}

// Drives `steps` steps, resetting what ended, and returns everything that was seen.
std::string drive(Simulator& simulator, int first_step, int steps) {
    std::string seen;
    Arrays arrays;
    bool ended[envs] = {};
    for (int step = first_step; step < first_step + steps; ++step) {
        bool going[envs];
        std::uint64_t seeds[envs];
        for (int env = 0; env < envs; ++env) {
            going[env] = !ended[env];
            seeds[env] = static_cast<std::uint64_t>(1000 * step + env);
        }
        simulator.step(actions_at(step).data(), 3, going, arrays.buffers());
        simulator.reset(seeds, ended, arrays.buffers());
        for (int env = 0; env < envs; ++env) ended[env] = arrays.results[env].end != EndReason::running;
        arrays.append_to(seen);
    }
    return seen;
}

void start(Simulator& simulator) {
    Arrays arrays;
    const std::uint64_t seeds[envs] = {1, 2, 3, 4, 5};
    const bool all[envs] = {true, true, true, true, true};
    simulator.reset(seeds, all, arrays.buffers());
}

template <class Error>
std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

void threads_change_nothing(const ScenarioConfig& scenario) {
    std::string reference;
    for (int threads : {1, 2, 3}) {
        Simulator simulator(config_of(scenario, threads));
        start(simulator);
        const std::string seen = drive(simulator, 0, 30);
        if (threads == 1) reference = seen;
        CHECK(seen == reference);
    }
    Simulator other(config_of(scenario, 1));
    start(other);
    CHECK(drive(other, 1, 30) != reference);  // other actions are seen, so the comparison can fail
}

void state_comes_back(const ScenarioConfig& scenario) {
    Simulator first(config_of(scenario, 1));
    start(first);
    drive(first, 0, 10);
    const std::vector<std::uint8_t> state = first.save();
    const std::string expected = drive(first, 10, 9);
    Simulator second(config_of(scenario, 2));
    second.restore(state.data(), state.size());
    CHECK(second.save() == state);
    CHECK(drive(second, 10, 9) == expected);
}

void bad_states_are_refused() {
    Simulator simulator(config_of(jaywalk(), 1));
    start(simulator);
    const std::vector<std::uint8_t> good = simulator.save();
    auto refused = [&](const std::vector<std::uint8_t>& state) {
        return !message_of<std::invalid_argument>([&] { simulator.restore(state.data(), state.size()); }).empty();
    };
    for (std::size_t length : {std::size_t{0}, std::size_t{7}, std::size_t{20}, good.size() / 2, good.size() - 1})
        CHECK(refused(std::vector<std::uint8_t>(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length))));
    std::vector<std::uint8_t> bad = good;
    bad.push_back(0);
    CHECK(refused(bad));
    bad = good;
    bad[0] ^= 1;
    CHECK(refused(bad));
    CHECK(simulator.save() == good);
}

void ended_worlds_need_reset() {
    Simulator simulator(config_of(jaywalk(), 1));
    Arrays arrays;
    const bool all[envs] = {true, true, true, true, true};
    const bool third[envs] = {false, false, true, false, false};
    auto step = [&](const bool* which) { simulator.step(actions_at(0).data(), 60, which, arrays.buffers()); };
    CHECK(message_of<ResetNeededError>([&] { step(third); }) ==
          "environment 2 was never reset; reset it before going on");
    start(simulator);
    step(third);
    CHECK(arrays.results[2].end == EndReason::time_limit && arrays.results[2].frames == 60);
    const std::vector<std::uint8_t> before = simulator.save();
    CHECK(message_of<ResetNeededError>([&] { step(all); }) ==
          "environment 2 has ended (time_limit); reset it before going on");
    CHECK(simulator.save() == before);  // the others did not move
}

void bad_actions_move_nothing() {
    Simulator simulator(config_of(jaywalk(), 1));
    start(simulator);
    Arrays arrays;
    const bool all[envs] = {true, true, true, true, true};
    std::vector<float> actions = actions_at(0);
    actions[7] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<std::uint8_t> before = simulator.save();
    CHECK(message_of<std::invalid_argument>([&] { simulator.step(actions.data(), 1, all, arrays.buffers()); }) ==
          "actions: row 3 is not finite");
    CHECK(simulator.save() == before);
}

void channels_last_is_a_transpose() {
    SimulatorConfig config = config_of(jaywalk(), 2);
    Simulator first(config);
    config.channels_last = true;
    Simulator last(config);
    start(first);
    start(last);
    Arrays chw, hwc;
    const bool all[envs] = {true, true, true, true, true};
    first.observe(all, chw.buffers());
    last.observe(all, hwc.buffers());
    const std::size_t pixels = size * size;
    for (std::size_t env = 0; env < envs; ++env)
        for (std::size_t pixel = 0; pixel < pixels; ++pixel)
            for (std::size_t channel = 0; channel < 3; ++channel)
                CHECK(chw.rgb[(3 * env + channel) * pixels + pixel] == hwc.rgb[3 * (env * pixels + pixel) + channel]);
}

void pool_reports_the_lowest_error() {
    semore::WorkerPool pool(3);
    for (int round = 0; round < 200; ++round) {
        std::vector<int> calls(50, 0);
        const std::string message = message_of<std::runtime_error>([&] {
            pool.run(50, 1, [&](std::int64_t index, std::int64_t, int worker) {
                CHECK(worker >= 0 && worker < 3);
                ++calls[static_cast<std::size_t>(index)];
                if (index % 10 == 7) throw std::runtime_error(std::to_string(index));
            });
        });
        CHECK(message == "7");
        CHECK(calls == std::vector<int>(50, 1));
    }
}

}  // namespace

int main() {
    for (const ScenarioConfig& scenario : {jaywalk(), highbeam(), highway()}) {
        threads_change_nothing(scenario);
        state_comes_back(scenario);
    }
    bad_states_are_refused();
    ended_worlds_need_reset();
    bad_actions_move_nothing();
    channels_last_is_a_transpose();
    pool_reports_the_lowest_error();
    std::puts("simulator: ok");
}
