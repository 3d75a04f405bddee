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
#include <vector>

namespace semore {

// What gather and locate both write; semore.replay_types.Batch has the shapes.
struct RowPointers {
    std::uint8_t* has_mask;
    float* action;
    float* reward;
    float* nstep_return;
    float* bootstrap_discount;
};

// Safe to call from several threads; calls take turns. Whoever reads frames() or masks() takes no turn: a slot that
// locate gave holds its frame until the next begin, add or load, and its mask may change under set_masks.
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
    std::int64_t withdraw(std::int64_t count, const std::int64_t* frame_ids);
    // [count, window] frames, oldest first, and [count, n_step + 1] masks, zero where absent.
    void gather(std::int64_t count, const std::int64_t* indices, std::uint8_t* frames, std::uint8_t* masks,
                const RowPointers& rows);
    // The slots [count, window] of the same frames.
    void locate(std::int64_t count, const std::int64_t* indices, std::int64_t* slots, const RowPointers& rows);

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
    void locate_rows(std::int64_t count, const std::int64_t* indices, std::int64_t* slots, const RowPointers& rows);
    void locate_row(std::int64_t row, std::int64_t start, std::int64_t* slots, const RowPointers& rows) const;
    void copy_frames(std::int64_t row, std::uint8_t* frames, bool stream) const;
    void copy_masks(std::int64_t row, std::uint8_t* masks, const std::uint8_t* has_mask, bool stream) const;
    static void copy(std::uint8_t* to, const std::uint8_t* from, std::int64_t bytes, bool stream);
    WorkerPool& pool();

    ReplaySpec spec_;
    PageMemory frames_, masks_;
    ReplayIndex index_;
    std::vector<std::int64_t> slots_;  // gather's, kept for its memory
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
    index_.check_masks_kept();
    index_.check_issued(count, frame_ids);
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

inline std::int64_t ReplayBuffer::withdraw(std::int64_t count, const std::int64_t* frame_ids) {
    const Lock lock(mutex_);
    index_.check_issued(count, frame_ids);
    std::int64_t withdrawn = 0;
    for (std::int64_t row = 0; row < count; ++row) withdrawn += index_.withdraw(frame_ids[row]);
    return withdrawn;
}

inline void ReplayBuffer::gather(std::int64_t count, const std::int64_t* indices, std::uint8_t* frames,
                                 std::uint8_t* masks, const RowPointers& rows) {
    // Below this the batch fits a cache, and whoever reads it next is better served from there.
    constexpr std::int64_t least_stream_bytes = 4 << 20;
    constexpr std::int64_t rows_per_chunk = 2;
    const Lock lock(mutex_);
    index_.check_indices(count, indices);
    slots_.resize(static_cast<std::size_t>(count * spec_.window()));
    locate_rows(count, indices, slots_.data(), rows);
    const bool stream = count * spec_.window() * spec_.frame_bytes >= least_stream_bytes;
    const WorkerPool::Rows copy_rows = [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = begin; row < end; ++row) {
            copy_frames(row, frames, stream);
            if (spec_.mask_bytes > 0) copy_masks(row, masks, rows.has_mask, stream);
        }
        stream_fence();
    };
    if (stream && spec_.threads > 1) {
        pool().run(count, rows_per_chunk, copy_rows);
    } else {
        copy_rows(0, count, 0);
    }
}

inline void ReplayBuffer::locate(std::int64_t count, const std::int64_t* indices, std::int64_t* slots,
                                 const RowPointers& rows) {
    const Lock lock(mutex_);
    index_.check_indices(count, indices);
    locate_rows(count, indices, slots, rows);
}

// The caller has checked sizes and ranges (semore.replay_checks.check_state).
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

inline void ReplayBuffer::locate_rows(std::int64_t count, const std::int64_t* indices, std::int64_t* slots,
                                      const RowPointers& rows) {
    for (std::int64_t row = 0; row < count; ++row)
        locate_row(row, index_.state().starts[indices[row]], slots + row * spec_.window(), rows);
}

inline void ReplayBuffer::locate_row(std::int64_t row, std::int64_t start, std::int64_t* slots,
                                     const RowPointers& rows) const {
    const ReplayState& state = index_.state();
    const ReplayWindow window = index_.window(start);
    std::copy_n(&state.action[start * spec_.action_dim], spec_.action_dim, rows.action + row * spec_.action_dim);
    rows.reward[row] = state.reward[start];
    rows.nstep_return[row] = window.nstep_return;
    rows.bootstrap_discount[row] = window.bootstrap_discount;
    const std::int64_t first = -static_cast<std::int64_t>(state.offset[start]);
    for (std::int64_t at = 1 - spec_.stack; at <= spec_.n_step; ++at)
        *slots++ = index_.slot_at(start, std::min(std::max(at, first), window.steps));
    if (spec_.mask_bytes == 0) return;
    const std::int64_t masks = spec_.n_step + 1;
    for (std::int64_t at = 0; at < masks; ++at) rows.has_mask[row * masks + at] = state.has_mask[slots[at - masks]];
}

inline void ReplayBuffer::copy_frames(std::int64_t row, std::uint8_t* frames, bool stream) const {
    for (std::int64_t at = row * spec_.window(); at < (row + 1) * spec_.window(); ++at)
        copy(frames + at * spec_.frame_bytes, frames_.data() + slots_[at] * spec_.frame_bytes, spec_.frame_bytes,
             stream);
}

inline void ReplayBuffer::copy_masks(std::int64_t row, std::uint8_t* masks, const std::uint8_t* has_mask,
                                     bool stream) const {
    const std::int64_t count = spec_.n_step + 1, newest = row * spec_.window() + spec_.stack - 1;
    for (std::int64_t at = 0; at < count; ++at) {
        const std::int64_t place = row * count + at;
        std::uint8_t* to = masks + place * spec_.mask_bytes;
        if (has_mask[place]) {
            copy(to, masks_.data() + slots_[newest + at] * spec_.mask_bytes, spec_.mask_bytes, stream);
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
