// What a test of the replay buffer lets it write.
#pragma once

#include "replay_buffer.hpp"

#include <cstdint>
#include <vector>

namespace semore {

inline std::int64_t ssize(const std::vector<std::int64_t>& values) { return static_cast<std::int64_t>(values.size()); }

// Arrays of exactly the size gather and locate may write, so that ASan sees a byte too many.
struct Arrays {
    Arrays(const ReplaySpec& spec, std::int64_t rows)
        : frames(rows * spec.window() * spec.frame_bytes),
          masks(rows * (spec.n_step + 1) * spec.mask_bytes),
          has_mask(rows * (spec.n_step + 1)),
          slots(rows * spec.window()),
          action(rows * spec.action_dim),
          reward(rows),
          nstep_return(rows),
          bootstrap_discount(rows) {}

    RowPointers rows() {
        return {has_mask.data(), action.data(), reward.data(), nstep_return.data(), bootstrap_discount.data()};
    }
    void gather(ReplayBuffer& buffer, const std::vector<std::int64_t>& indices) {
        buffer.gather(ssize(indices), indices.data(), frames.data(), masks.data(), rows());
    }
    void locate(ReplayBuffer& buffer, const std::vector<std::int64_t>& indices) {
        buffer.locate(ssize(indices), indices.data(), slots.data(), rows());
    }

    std::vector<std::uint8_t> frames, masks, has_mask;
    std::vector<std::int64_t> slots;
    std::vector<float> action, reward, nstep_return, bootstrap_discount;
};

}  // namespace semore
