// Replay buffer: the C++ twin of semore/replay.py. Same calls give the same bytes, the same order of sampleable
// transitions and the same messages.
#pragma once

#include "page_memory.hpp"
#include "replay_index.hpp"
#include "stream_copy.hpp"
#include "worker_pool.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

namespace semore {

// Where gather writes; semore.replay.Batch has the shapes.
struct BatchPointers {
    std::uint8_t* frames;
    std::uint8_t* masks;
    std::uint8_t* has_mask;
    float* action;
    float* reward;
    float* nstep_return;
    float* bootstrap_discount;
};

// Safe to call from several threads; calls take turns.
class ReplayBuffer {
public:
    explicit ReplayBuffer(const ReplaySpec& spec)
        : spec_(spec), frames_(bytes_of(spec.frame_bytes)), masks_(bytes_of(spec.mask_bytes)), index_(spec) {}
    ReplayBuffer(const ReplayBuffer&) = delete;
    ReplayBuffer& operator=(const ReplayBuffer&) = delete;

    // Each throws std::invalid_argument before anything is changed; `ids` receives one id per row.
    void begin(std::int64_t count, const std::int64_t* env_ids, const std::uint8_t* frames, std::int64_t* ids);
    void add(const Transitions& rows, std::int64_t* ids);
    std::int64_t set_masks(std::int64_t count, const std::int64_t* frame_ids, const std::uint8_t* masks);
    void gather(std::int64_t count, const std::int64_t* indices, const BatchPointers& out);

    std::int64_t size() const {
        const Lock lock(mutex_);
        return static_cast<std::int64_t>(index_.state().starts.size());
    }
    std::int64_t frames_held() const {
        const Lock lock(mutex_);
        return index_.frames_held();
    }
    ReplayState state() const {
        const Lock lock(mutex_);
        return index_.state();
    }
    ReplayCounters counters() const {
        const Lock lock(mutex_);
        return index_.state().counters;
    }
    void load(const std::uint8_t* frames, const std::uint8_t* masks, ReplayState state);

    const ReplaySpec& spec() const { return spec_; }
    const std::uint8_t* frames() const { return frames_.data(); }
    const std::uint8_t* masks() const { return masks_.data(); }

private:
    using Lock = std::lock_guard<std::mutex>;

    std::size_t bytes_of(std::int64_t each) const { return static_cast<std::size_t>(spec_.capacity * each); }
    void store_frame(std::int64_t slot, const std::uint8_t* frames, std::int64_t row);
    void gather_row(std::int64_t row, std::int64_t start, const BatchPointers& out, bool stream) const;
    void gather_masks(std::int64_t row, std::int64_t start, std::int64_t steps, const BatchPointers& out,
                      bool stream) const;
    static void copy(std::uint8_t* to, const std::uint8_t* from, std::int64_t bytes, bool stream);
    WorkerPool& pool();

    ReplaySpec spec_;
    PageMemory frames_, masks_;
    ReplayIndex index_;
    std::unique_ptr<WorkerPool> pool_;
    mutable std::mutex mutex_;
};

inline void ReplayBuffer::begin(std::int64_t count, const std::int64_t* env_ids, const std::uint8_t* frames,
                                std::int64_t* ids) {
    const Lock lock(mutex_);
    index_.check_env_ids(count, env_ids);
    for (std::int64_t row = 0; row < count; ++row) {
        store_frame(index_.begin_row(env_ids[row]), frames, row);
        ids[row] = index_.newest_id(env_ids[row]);
    }
    stream_fence();
}

inline void ReplayBuffer::add(const Transitions& rows, std::int64_t* ids) {
    const Lock lock(mutex_);
    index_.check_transitions(rows);
    for (std::int64_t row = 0; row < rows.count; ++row) {
        store_frame(index_.add_row(rows, row), rows.next_frames, row);
        ids[row] = index_.newest_id(rows.env_ids[row]);
    }
    stream_fence();
}

inline std::int64_t ReplayBuffer::set_masks(std::int64_t count, const std::int64_t* frame_ids,
                                            const std::uint8_t* masks) {
    const Lock lock(mutex_);
    index_.check_frame_ids(count, frame_ids);
    std::int64_t stored = 0;
    for (std::int64_t row = 0; row < count; ++row) {
        const std::int64_t slot = index_.accept_mask(frame_ids[row]);
        if (slot < 0) continue;
        copy(masks_.data() + slot * spec_.mask_bytes, masks + row * spec_.mask_bytes, spec_.mask_bytes, true);
        ++stored;
    }
    stream_fence();
    return stored;
}

inline void ReplayBuffer::gather(std::int64_t count, const std::int64_t* indices, const BatchPointers& out) {
    // Below this the batch fits a cache, and whoever reads it next is better served from there.
    constexpr std::int64_t least_stream_bytes = 4 << 20;
    constexpr std::int64_t rows_per_chunk = 2;
    const Lock lock(mutex_);
    index_.check_indices(count, indices);
    const bool stream = count * spec_.window() * spec_.frame_bytes >= least_stream_bytes;
    const WorkerPool::Rows rows = [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = begin; row < end; ++row) {
            gather_row(row, index_.state().starts[indices[row]], out, stream);
        }
        stream_fence();
    };
    if (stream && spec_.threads > 1) {
        pool().run(count, rows_per_chunk, rows);
    } else {
        rows(0, count, 0);
    }
}

// The caller has checked sizes and ranges (semore.replay_types.check_state).
inline void ReplayBuffer::load(const std::uint8_t* frames, const std::uint8_t* masks, ReplayState state) {
    const Lock lock(mutex_);
    copy(frames_.data(), frames, spec_.capacity * spec_.frame_bytes, true);
    if (spec_.mask_bytes > 0) copy(masks_.data(), masks, spec_.capacity * spec_.mask_bytes, true);
    stream_fence();
    index_.load(std::move(state));
}

inline void ReplayBuffer::store_frame(std::int64_t slot, const std::uint8_t* frames, std::int64_t row) {
    copy(frames_.data() + slot * spec_.frame_bytes, frames + row * spec_.frame_bytes, spec_.frame_bytes, true);
}

inline void ReplayBuffer::gather_row(std::int64_t row, std::int64_t start, const BatchPointers& out,
                                     bool stream) const {
    const ReplayState& state = index_.state();
    const ReplayWindow window = index_.window(start);
    std::copy_n(&state.action[start * spec_.action_dim], spec_.action_dim, out.action + row * spec_.action_dim);
    out.reward[row] = state.reward[start];
    out.nstep_return[row] = window.nstep_return;
    out.bootstrap_discount[row] = window.bootstrap_discount;
    const std::int64_t first = -static_cast<std::int64_t>(state.offset[start]);
    std::uint8_t* to = out.frames + row * spec_.window() * spec_.frame_bytes;
    for (std::int64_t at = 1 - spec_.stack; at <= spec_.n_step; ++at, to += spec_.frame_bytes) {
        const std::int64_t slot = index_.slot_at(start, std::min(std::max(at, first), window.steps));
        copy(to, frames_.data() + slot * spec_.frame_bytes, spec_.frame_bytes, stream);
    }
    if (spec_.mask_bytes > 0) gather_masks(row, start, window.steps, out, stream);
}

inline void ReplayBuffer::gather_masks(std::int64_t row, std::int64_t start, std::int64_t steps,
                                       const BatchPointers& out, bool stream) const {
    for (std::int64_t at = 0; at <= spec_.n_step; ++at) {
        const std::int64_t slot = index_.slot_at(start, std::min(at, steps));
        const std::int64_t place = row * (spec_.n_step + 1) + at;
        std::uint8_t* to = out.masks + place * spec_.mask_bytes;
        out.has_mask[place] = index_.state().has_mask[slot];
        if (out.has_mask[place]) {
            copy(to, masks_.data() + slot * spec_.mask_bytes, spec_.mask_bytes, stream);
        } else {
            std::memset(to, 0, static_cast<std::size_t>(spec_.mask_bytes));
        }
    }
}

inline void ReplayBuffer::copy(std::uint8_t* to, const std::uint8_t* from, std::int64_t bytes, bool stream) {
    if (stream) {
        stream_copy(to, from, static_cast<std::size_t>(bytes));
    } else {
        std::memcpy(to, from, static_cast<std::size_t>(bytes));
    }
}

// Started on first use: a buffer that gathers only small batches needs no threads. A forked child starts its own.
inline WorkerPool& ReplayBuffer::pool() {
    if (!pool_ || !pool_->usable_here()) pool_ = std::make_unique<WorkerPool>(spec_.threads);
    return *pool_;
}

}  // namespace semore
