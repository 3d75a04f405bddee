// Random histories over tiny rings: every sample holds only living frames of one episode, in order, with the right
// returns. Run under ASan, UBSan and TSan; tests/test_replay.py compares the bytes with the definition.
#include "replay_buffer.hpp"

#include "check.hpp"
#include "replay_arrays.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace semore;

namespace {

template <typename Call>
void check_refused(const Call& call, const std::string& name) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        CHECK(std::string(error.what()).find(name) == 0);
        return;
    }
    CHECK(!"accepted");
}

// One environment's writer. Each frame spells its number since the start; each reward is the number of the frame it
// leads to; a frame's mask is its number's low byte.
struct Writer {
    std::int64_t number = 0, first = 0;  // next frame; first frame of the episode
    bool open = false;
    std::vector<std::int64_t> firsts;     // of each frame: its episode's first
    std::vector<std::uint8_t> terminals;  // of each frame: it is a terminal's final frame
    std::vector<std::uint8_t> finals;     // of each frame: its episode's last so far
};

struct History {
    explicit History(const ReplaySpec& replay_spec, unsigned seed)
        : spec(replay_spec), buffer(replay_spec), writers(replay_spec.num_envs), random(seed) {}

    std::vector<std::uint8_t> frame(std::int64_t env, std::int64_t number) const {
        std::vector<std::uint8_t> bytes(spec.frame_bytes, static_cast<std::uint8_t>(number));
        bytes[0] = static_cast<std::uint8_t>(env);
        bytes[1] = static_cast<std::uint8_t>(number >> 8);
        return bytes;
    }

    void note(Writer& writer, bool begins, bool terminal) {
        if (begins) writer.first = writer.number;
        if (!begins) writer.finals.back() = 0;
        writer.firsts.push_back(writer.first);
        writer.terminals.push_back(terminal);
        writer.finals.push_back(1);
        ++writer.number;
    }

    void step(std::int64_t env) {
        Writer& writer = writers[env];
        const std::vector<std::uint8_t> pixels = frame(env, writer.number);
        std::int64_t id = -1;
        if (!writer.open || random() % 16 == 0) {
            buffer.begin(1, &env, pixels.data(), &id);
            note(writer, true, false);
            writer.open = true;
        } else {
            const std::uint8_t terminated = random() % 5 == 0, truncated = random() % 5 == 0, admit = random() % 4 > 0;
            const float reward = static_cast<float>(writer.number);
            const std::vector<float> action(spec.action_dim, -reward);
            buffer.add({1, &env, action.data(), &reward, &terminated, &truncated, pixels.data(), &admit}, &id);
            note(writer, false, terminated);
            writer.open = !terminated && !truncated;
        }
        CHECK(id == (writer.number - 1) * spec.num_envs + env);
        if (spec.mask_bytes > 0) set_mask(env);
    }

    // A late verdict on a frame of any age: it can be withdrawn once, if its transition is there and was admitted.
    void withdraw(std::int64_t env) {
        const std::int64_t newest = writers[env].number - 1;
        const std::int64_t id = (newest - static_cast<std::int64_t>(random() % 5)) * spec.num_envs + env;
        if (id < 0) return;
        const std::int64_t before = buffer.size();
        const std::int64_t withdrawn = buffer.withdraw(1, &id);
        CHECK(before - buffer.size() >= 0 && before - buffer.size() <= withdrawn);
        CHECK(buffer.withdraw(1, &id) == 0);
    }

    void set_mask(std::int64_t env) {
        const auto number = static_cast<std::int64_t>(random() % writers[env].number);
        const std::int64_t id = number * spec.num_envs + env;
        const std::vector<std::uint8_t> mask(spec.mask_bytes, static_cast<std::uint8_t>(number));
        const bool live = number >= writers[env].number - spec.capacity / spec.num_envs;
        CHECK(buffer.set_masks(1, &id, mask.data()) == live);
    }

    void check() {
        std::vector<std::int64_t> indices(buffer.size());
        std::iota(indices.begin(), indices.end(), 0);
        Arrays out(spec, ssize(indices));
        out.gather(buffer, indices);
        for (const std::int64_t row : indices) check_row(out, row);
        check_located(out, indices);
    }

    // What is located is what was gathered, read where it lies.
    void check_located(const Arrays& gathered, const std::vector<std::int64_t>& indices) {
        Arrays at(spec, ssize(indices));
        at.locate(buffer, indices);
        CHECK(at.has_mask == gathered.has_mask && at.action == gathered.action && at.reward == gathered.reward);
        CHECK(at.nstep_return == gathered.nstep_return && at.bootstrap_discount == gathered.bootstrap_discount);
        const std::uint8_t* copy = gathered.frames.data();
        for (const std::int64_t slot : at.slots) {
            CHECK(slot >= 0 && slot < spec.capacity);
            CHECK(std::memcmp(copy, buffer.frames() + slot * spec.frame_bytes, spec.frame_bytes) == 0);
            copy += spec.frame_bytes;
        }
    }

    void check_row(const Arrays& out, std::int64_t row) {
        const std::uint8_t* frames = &out.frames[row * spec.window() * spec.frame_bytes];
        const Writer& writer = writers[frames[0]];
        const auto newest = static_cast<std::int64_t>(out.reward[row]) - 1;  // the observation's newest frame
        CHECK(out.action[row * spec.action_dim] == -out.reward[row]);
        std::int64_t steps = 0;
        double expected = 0.0, power = 1.0;
        for (; steps < spec.n_step && !writer.terminals[newest + steps]; ++steps, power *= spec.discount) {
            CHECK(!writer.finals[newest + steps]);
            expected += power * static_cast<double>(newest + steps + 1);
        }
        const bool terminal = writer.terminals[newest + steps];
        CHECK(std::abs(out.nstep_return[row] - expected) <= 1e-5 * expected);
        CHECK((out.bootstrap_discount[row] == 0.0f) == terminal);
        for (std::int64_t at = 1 - spec.stack; at <= spec.n_step; ++at, frames += spec.frame_bytes) {
            const std::int64_t number = std::min(std::max(newest + at, writer.firsts[newest]), newest + steps);
            CHECK(number >= writer.number - spec.capacity / spec.num_envs);
            const std::vector<std::uint8_t> want = frame(frames[0], number);
            CHECK(std::equal(want.begin(), want.end(), frames));
            if (at >= 0 && spec.mask_bytes > 0) check_mask(out, row * (spec.n_step + 1) + at, number);
        }
    }

    void check_mask(const Arrays& out, std::int64_t place, std::int64_t number) {
        const auto want = static_cast<std::uint8_t>(out.has_mask[place] ? number : 0);
        const std::uint8_t* mask = &out.masks[place * spec.mask_bytes];
        CHECK(std::all_of(mask, mask + spec.mask_bytes, [&](std::uint8_t value) { return value == want; }));
    }

    ReplaySpec spec;
    ReplayBuffer buffer;
    std::vector<Writer> writers;
    std::mt19937 random;
};

ReplaySpec spec_of(std::int64_t num_envs, std::int64_t stack, std::int64_t n_step, std::int64_t spare) {
    ReplaySpec spec;
    spec.num_envs = num_envs;
    spec.stack = stack;
    spec.n_step = n_step;
    spec.capacity = num_envs * (stack + n_step + spare);
    spec.frame_bytes = 3;
    spec.mask_bytes = spare % 2;
    spec.action_dim = 2;
    return spec;
}

void test_histories() {
    for (unsigned seed = 0; seed < 64; ++seed) {
        History history(spec_of(1 + seed % 3, 1 + seed / 3 % 4, 1 + seed / 12 % 4, seed % 7), seed);
        for (int step = 0; step < 300; ++step) {
            history.step(static_cast<std::int64_t>(history.random() % history.spec.num_envs));
            if (step % 7 == 0) {
                history.withdraw(static_cast<std::int64_t>(history.random() % history.spec.num_envs));
            }
            if (step % 5 == 0) history.check();
        }
        CHECK(history.buffer.counters().admitted > 0 && history.buffer.counters().dropped > 0);
    }
}

// Large and odd enough for streaming stores, heads, tails and the worker pool.
void test_streaming_on_threads() {
    ReplaySpec spec = spec_of(2, 3, 1, 40);
    spec.frame_bytes = 3 * 61 * 67;
    spec.mask_bytes = 61 * 67;
    for (const int threads : {1, 3}) {
        spec.threads = threads;
        History history(spec, 9);
        for (int step = 0; step < 400; ++step) history.step(step % 2);
        const std::int64_t rows = 6'000'000 / (spec.window() * spec.frame_bytes);
        std::vector<std::int64_t> indices(rows);
        for (std::int64_t& index : indices) {
            index = static_cast<std::int64_t>(history.random() % history.buffer.size());
        }
        Arrays out(spec, rows);
        for (int repeat = 0; repeat < 3; ++repeat) out.gather(history.buffer, indices);
        for (std::int64_t row = 0; row < rows; ++row) history.check_row(out, row);
    }
}

void test_concurrent_callers() {
    ReplaySpec spec = spec_of(1, 3, 1, 8);
    spec.frame_bytes = 30'000;
    spec.threads = 2;
    History history(spec, 3);
    for (int step = 0; step < 60 || history.buffer.size() < 2; ++step) history.step(0);
    const std::vector<std::int64_t> indices(50, 0);
    std::thread writer([&] {
        std::int64_t env = 0, id = 0;
        const std::vector<std::uint8_t> pixels(spec.frame_bytes, 1), no(1, 0), yes(1, 1);
        const std::vector<float> zeros(2, 0.0f);
        history.buffer.begin(1, &env, pixels.data(), &id);
        for (int i = 0; i < 300; ++i) {
            history.buffer.add({1, &env, zeros.data(), zeros.data(), no.data(), no.data(), pixels.data(), yes.data()},
                               &id);
        }
    });
    Arrays out(spec, 50);
    for (int repeat = 0; repeat < 20; ++repeat) {
        if (history.buffer.size() > 4) out.gather(history.buffer, indices);
        for (int row = 1; row < 50; ++row) {
            CHECK(std::equal(out.frames.begin(), out.frames.begin() + spec.window() * spec.frame_bytes,
                             out.frames.begin() + row * spec.window() * spec.frame_bytes));
        }
    }
    writer.join();
}

void test_refusals() {
    const ReplaySpec spec = spec_of(2, 2, 1, 3);
    ReplayBuffer buffer(spec);
    const std::vector<std::uint8_t> pixels(2 * spec.frame_bytes, 5), mask(1, 5), flags(2, 0);
    const std::vector<float> zeros(4, 0.0f);
    std::vector<float> infinite(4, std::numeric_limits<float>::infinity());
    const std::int64_t zero = 0, twice[] = {1, 1}, outside = 2, negative = -1;
    std::int64_t ids[2];
    const auto add = [&](const std::int64_t* env, const std::vector<float>& action, const std::vector<float>& reward) {
        buffer.add({1, env, action.data(), reward.data(), flags.data(), flags.data(), pixels.data(), flags.data()},
                   ids);
    };
    check_refused([&] { buffer.begin(2, twice, pixels.data(), ids); }, "env_ids must be distinct");
    check_refused([&] { buffer.begin(1, &outside, pixels.data(), ids); }, "env_ids must be in [0, 2)");
    check_refused([&] { add(&zero, zeros, zeros); }, "env_ids names environment 0");
    buffer.begin(1, &zero, pixels.data(), ids);
    check_refused([&] { add(&zero, infinite, zeros); }, "actions");
    check_refused([&] { add(&zero, zeros, infinite); }, "rewards");
    check_refused([&] { buffer.set_masks(1, &outside, mask.data()); }, "frame_ids holds 2");
    check_refused([&] { buffer.withdraw(1, &outside); }, "frame_ids holds 2");
    check_refused([&] { buffer.set_masks(1, &negative, mask.data()); }, "frame_ids holds -1");
    Arrays out(spec, 1);
    check_refused([&] { out.gather(buffer, {0}); }, "indices must be in [0, 0)");
    check_refused([&] { out.locate(buffer, {0}); }, "indices must be in [0, 0)");
    CHECK(buffer.frames_held() == 1 && buffer.size() == 0);
}

void test_restoring() {
    History history(spec_of(2, 3, 2, 5), 4);
    for (int step = 0; step < 90; ++step) history.step(step % 2);
    const ReplayState saved = history.buffer.state();
    const ReplaySpec& spec = history.spec;
    const std::vector<std::uint8_t> frames(history.buffer.frames(),
                                           history.buffer.frames() + spec.capacity * spec.frame_bytes);
    const std::vector<std::uint8_t> masks(history.buffer.masks(),
                                          history.buffer.masks() + spec.capacity * spec.mask_bytes);
    const std::vector<Writer> writers = history.writers;
    for (int step = 0; step < 50; ++step) history.step(step % 2);
    history.buffer.load(frames.data(), masks.data(), saved);
    history.writers = writers;
    CHECK(history.buffer.state().starts == saved.starts);
    for (int step = 0; step < 50; ++step) {
        history.check();
        history.step(step % 2);
    }
}

}  // namespace

int main() {
    test_histories();
    test_streaming_on_threads();
    test_concurrent_callers();
    test_refusals();
    test_restoring();
    std::puts("replay: ok");
}
