// Which transitions may be sampled, and which frames each needs: the replay buffer without its pixels.
// Semantics and messages are those of semore/replay.py, to be read first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace semore {

// Fields as in semore.replay.ReplaySpec, which checks them; capacity is a multiple of num_envs.
struct ReplaySpec {
    std::int64_t capacity = 0, num_envs = 0;
    std::int64_t frame_bytes = 0;
    std::int64_t mask_bytes = 0;  // 0: no masks are kept
    std::int64_t action_dim = 0;
    std::int64_t stack = 3, n_step = 1;
    double discount = 0.99;
    int threads = 1;  // of gather, the caller's included

    std::int64_t window() const { return stack + n_step; }
};

// Rows of one call to add; every array holds `count` rows, booleans are one byte.
struct Transitions {
    std::int64_t count;
    const std::int64_t* env_ids;
    const float* actions;
    const float* rewards;
    const std::uint8_t* terminated;
    const std::uint8_t* truncated;
    const std::uint8_t* next_frames;
    const std::uint8_t* admit;
};

struct ReplayCounters {
    std::int64_t admitted = 0, dropped = 0, masks = 0, late_dropped = 0;
};

// Everything but frames and masks, as semore.replay.ReplayBuffer.state_arrays names it.
struct ReplayState {
    std::vector<std::uint8_t> has_mask;
    std::vector<float> action, reward;  // of the transition that leaves the slot's frame, as the next two
    std::vector<std::uint8_t> terminated, admitted;
    std::vector<std::int32_t> offset;  // frames since the episode's first
    std::vector<std::int32_t> starts;  // sampleable slots, no gaps
    std::vector<std::int64_t> next_sequence;  // per environment, as the next
    std::vector<std::uint8_t> open;
    ReplayCounters counters;
};

// What one sample needs besides its start.
struct ReplayWindow {
    std::int64_t steps;  // n_step, or up to the terminal
    float nstep_return, bootstrap_discount;
};

class ReplayIndex {
public:
    explicit ReplayIndex(const ReplaySpec& spec);

    // Each throws std::invalid_argument naming the argument.
    void check_env_ids(std::int64_t count, const std::int64_t* env_ids);
    void check_transitions(const Transitions& rows);
    void check_masks_kept() const {
        if (spec_.mask_bytes > 0) return;
        throw std::invalid_argument("masks cannot be stored: the buffer was made with masks=False");
    }
    void check_issued(std::int64_t count, const std::int64_t* frame_ids) const;
    void check_indices(std::int64_t count, const std::int64_t* indices) const;

    // Each makes room for one frame, and returns its slot. Arguments are checked.
    std::int64_t begin_row(std::int64_t env);
    std::int64_t add_row(const Transitions& rows, std::int64_t row);
    std::int64_t newest_id(std::int64_t env) const { return (state_.next_sequence[env] - 1) * spec_.num_envs + env; }
    // The slot for this frame's mask, or -1 where the frame is overwritten; counted either way.
    std::int64_t accept_mask(std::int64_t frame_id);
    bool withdraw(std::int64_t frame_id);  // false: overwritten, or not admitted

    ReplayWindow window(std::int64_t start) const;
    // The slot `relative` frames from `start`, at most one ring back.
    std::int64_t slot_at(std::int64_t start, std::int64_t relative) const {
        const std::int64_t ring = start / frames_per_env_ * frames_per_env_;
        return ring + (start - ring + relative + frames_per_env_) % frames_per_env_;
    }

    const ReplayState& state() const { return state_; }
    void load(ReplayState state);
    std::int64_t frames_held() const;

private:
    std::int64_t slot_of(std::int64_t env, std::int64_t sequence) const {
        return env * frames_per_env_ + sequence % frames_per_env_;
    }
    // -1 where the frame is overwritten.
    std::int64_t held_slot(std::int64_t frame_id) const {
        const std::int64_t env = frame_id % spec_.num_envs, sequence = frame_id / spec_.num_envs;
        return sequence < state_.next_sequence[env] - frames_per_env_ ? -1 : slot_of(env, sequence);
    }
    std::int64_t push(std::int64_t env, std::int32_t offset);
    void forget(std::int64_t env, std::int64_t sequence);
    void complete_windows(std::int64_t env, bool terminated);
    void remove_start(std::int64_t slot);

    ReplaySpec spec_;
    std::int64_t frames_per_env_;
    std::vector<double> powers_;  // discount**i rounded to float32, so that power * reward is exact
    ReplayState state_;
    std::vector<std::int32_t> position_;  // of each slot in state_.starts, -1: not in it
    std::vector<std::uint8_t> named_;     // scratch of check_env_ids, all zero between calls
};

inline ReplayIndex::ReplayIndex(const ReplaySpec& spec)
    : spec_(spec), frames_per_env_(spec.capacity / spec.num_envs) {
    const auto capacity = static_cast<std::size_t>(spec.capacity);
    const auto envs = static_cast<std::size_t>(spec.num_envs);
    double power = 1.0;
    for (std::int64_t i = 0; i <= spec.n_step; ++i, power *= spec.discount) {
        powers_.push_back(static_cast<double>(static_cast<float>(power)));
    }
    state_.has_mask.resize(capacity);
    state_.action.resize(capacity * static_cast<std::size_t>(spec.action_dim));
    state_.reward.resize(capacity);
    state_.terminated.resize(capacity);
    state_.admitted.resize(capacity);
    state_.offset.resize(capacity);
    state_.starts.reserve(capacity);
    state_.next_sequence.resize(envs);
    state_.open.resize(envs);
    position_.assign(capacity, -1);
    named_.resize(envs);
}

inline void ReplayIndex::check_env_ids(std::int64_t count, const std::int64_t* env_ids) {
    std::string problem;
    for (std::int64_t row = 0; row < count && problem.empty(); ++row) {
        const std::int64_t env = env_ids[row];
        if (env < 0 || env >= spec_.num_envs) {
            problem = "must be in [0, " + std::to_string(spec_.num_envs) + "), got " + std::to_string(env);
        } else if (std::exchange(named_[env], 1)) {
            problem = "must be distinct, got " + std::to_string(env) + " twice";
        }
    }
    if (!problem.empty()) {
        std::fill(named_.begin(), named_.end(), 0);
        throw std::invalid_argument("env_ids " + problem);
    }
    for (std::int64_t row = 0; row < count; ++row) named_[env_ids[row]] = 0;
}

inline void ReplayIndex::check_transitions(const Transitions& rows) {
    check_env_ids(rows.count, rows.env_ids);
    for (std::int64_t row = 0; row < rows.count; ++row) {
        if (!state_.open[rows.env_ids[row]]) {
            throw std::invalid_argument("env_ids names environment " + std::to_string(rows.env_ids[row]) +
                                        ", which has no open episode; call begin first");
        }
    }
    const auto finite = [](float value) { return std::isfinite(value); };
    if (!std::all_of(rows.actions, rows.actions + rows.count * spec_.action_dim, finite)) {
        throw std::invalid_argument("actions must be finite");
    }
    if (!std::all_of(rows.rewards, rows.rewards + rows.count, finite)) {
        throw std::invalid_argument("rewards must be finite");
    }
}

inline void ReplayIndex::check_issued(std::int64_t count, const std::int64_t* frame_ids) const {
    for (std::int64_t row = 0; row < count; ++row) {
        const std::int64_t id = frame_ids[row];
        if (id < 0 || id / spec_.num_envs >= state_.next_sequence[id % spec_.num_envs]) {
            throw std::invalid_argument("frame_ids holds " + std::to_string(id) + ", which was never issued");
        }
    }
}

inline void ReplayIndex::check_indices(std::int64_t count, const std::int64_t* indices) const {
    const auto length = static_cast<std::int64_t>(state_.starts.size());
    for (std::int64_t row = 0; row < count; ++row) {
        if (indices[row] < 0 || indices[row] >= length) {
            throw std::invalid_argument("indices must be in [0, " + std::to_string(length) + "), got " +
                                        std::to_string(indices[row]));
        }
    }
}

inline std::int64_t ReplayIndex::begin_row(std::int64_t env) {
    state_.open[env] = 1;
    return push(env, 0);
}

inline std::int64_t ReplayIndex::add_row(const Transitions& rows, std::int64_t row) {
    const std::int64_t env = rows.env_ids[row];
    const std::int64_t slot = slot_of(env, state_.next_sequence[env] - 1);
    const float* action = rows.actions + row * spec_.action_dim;
    std::copy(action, action + spec_.action_dim, &state_.action[slot * spec_.action_dim]);
    state_.reward[slot] = rows.rewards[row];
    state_.terminated[slot] = rows.terminated[row];
    state_.admitted[slot] = rows.admit[row];
    const std::int64_t next_slot = push(env, state_.offset[slot] + 1);
    state_.open[env] = !(rows.terminated[row] || rows.truncated[row]);
    complete_windows(env, rows.terminated[row]);
    ++(rows.admit[row] ? state_.counters.admitted : state_.counters.dropped);
    return next_slot;
}

inline std::int64_t ReplayIndex::accept_mask(std::int64_t frame_id) {
    const std::int64_t slot = held_slot(frame_id);
    if (slot >= 0) state_.has_mask[slot] = 1;
    ++(slot >= 0 ? state_.counters.masks : state_.counters.late_dropped);
    return slot;
}

inline bool ReplayIndex::withdraw(std::int64_t frame_id) {
    const std::int64_t slot = held_slot(frame_id);
    if (slot < 0 || !state_.admitted[slot]) return false;
    state_.admitted[slot] = 0;
    if (position_[slot] >= 0) remove_start(slot);
    --state_.counters.admitted;
    ++state_.counters.dropped;
    return true;
}

inline ReplayWindow ReplayIndex::window(std::int64_t start) const {
    double total = 0.0;
    bool terminated = false;
    std::int64_t steps = 0;
    while (steps < spec_.n_step && !terminated) {
        const std::int64_t slot = slot_at(start, steps);
        total += powers_[steps] * static_cast<double>(state_.reward[slot]);
        terminated = state_.terminated[slot];
        ++steps;
    }
    const double bootstrap = terminated ? 0.0 : powers_[spec_.n_step];
    return {steps, static_cast<float>(total), static_cast<float>(bootstrap)};
}

// The caller has checked sizes and ranges (semore.replay_checks.check_state).
inline void ReplayIndex::load(ReplayState state) {
    state_ = std::move(state);
    state_.starts.reserve(static_cast<std::size_t>(spec_.capacity));
    std::fill(position_.begin(), position_.end(), -1);
    for (std::size_t i = 0; i < state_.starts.size(); ++i) {
        position_[state_.starts[i]] = static_cast<std::int32_t>(i);
    }
}

inline std::int64_t ReplayIndex::frames_held() const {
    std::int64_t frames = 0;
    for (const std::int64_t next : state_.next_sequence) frames += std::min(next, frames_per_env_);
    return frames;
}

inline std::int64_t ReplayIndex::push(std::int64_t env, std::int32_t offset) {
    const std::int64_t sequence = state_.next_sequence[env];
    const std::int64_t slot = slot_of(env, sequence);
    if (sequence >= frames_per_env_) forget(env, sequence - frames_per_env_);
    state_.offset[slot] = offset;
    state_.has_mask[slot] = state_.terminated[slot] = state_.admitted[slot] = 0;
    std::fill_n(&state_.action[slot * spec_.action_dim], spec_.action_dim, 0.0f);
    state_.reward[slot] = 0.0f;
    state_.next_sequence[env] = sequence + 1;
    return slot;
}

// Takes out every start whose window holds this frame, the oldest: itself and those that stack it.
inline void ReplayIndex::forget(std::int64_t env, std::int64_t sequence) {
    for (std::int64_t distance = 0; distance < spec_.stack; ++distance) {
        const std::int64_t slot = slot_of(env, sequence + distance);
        if (state_.offset[slot] < distance) return;  // a later episode: its stacks repeat its own first frame
        if (position_[slot] >= 0) remove_start(slot);
    }
}

// Takes in the starts whose n steps end with the newest frame, or with the terminal it closes.
inline void ReplayIndex::complete_windows(std::int64_t env, bool terminated) {
    const std::int64_t newest = state_.next_sequence[env] - 1;
    const std::int64_t first = std::min<std::int64_t>(state_.offset[slot_of(env, newest)], spec_.n_step);
    const std::int64_t last = terminated ? 1 : spec_.n_step;
    for (std::int64_t distance = first; distance >= last; --distance) {
        const std::int64_t slot = slot_of(env, newest - distance);
        if (!state_.admitted[slot]) continue;
        position_[slot] = static_cast<std::int32_t>(state_.starts.size());
        state_.starts.push_back(static_cast<std::int32_t>(slot));
    }
}

inline void ReplayIndex::remove_start(std::int64_t slot) {
    const std::int32_t moved = state_.starts.back(), hole = position_[slot];
    state_.starts[hole] = moved;
    position_[moved] = hole;
    position_[slot] = -1;
    state_.starts.pop_back();
}

}  // namespace semore
