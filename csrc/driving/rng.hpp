// Random draws as pure functions of a key and a counter: portable (std distributions are not), free of hidden state,
// and independent of the order in which things are drawn.
#pragma once

#include <cstdint>

namespace semore::driving {

// What a draw is for; keeps the streams of different uses apart.
enum class Draw : std::uint64_t {
    ego_start = 1,
    walker_speed,
    walker_place,
    walker_look,
    walker_crossing,
    vehicle_place,
    vehicle_look,
    vehicle_chance,
    cyclist_swerve,
    rollout,
};

// The finaliser of splitmix64: a bijection that spreads every input bit over the whole word.
inline std::uint64_t mix(std::uint64_t word) {
    word += 0x9e3779b97f4a7c15ULL;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL;
    return word ^ (word >> 31);
}

inline std::uint64_t draw_bits(std::uint64_t key, Draw use, std::uint64_t index, std::uint64_t part = 0) {
    return mix(mix(mix(key ^ static_cast<std::uint64_t>(use) << 56) + index) + part);
}

// Uniform in [0, 1), 24 bits.
inline float draw_unit(std::uint64_t key, Draw use, std::uint64_t index, std::uint64_t part = 0) {
    return static_cast<float>(draw_bits(key, use, index, part) >> 40) * 0x1p-24f;
}

inline float draw_between(float low, float high, std::uint64_t key, Draw use, std::uint64_t index,
                          std::uint64_t part = 0) {
    return low + (high - low) * draw_unit(key, use, index, part);
}

}  // namespace semore::driving
