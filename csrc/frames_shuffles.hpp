// Which byte goes where in a row of pixels: tables for the kernels of frames_rows.hpp and its faster twins.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

namespace semore {

// Rows handed to the kernels hold a whole number of blocks, so that they may read, and interleave, past the last pixel.
// Rows of interleaved bytes have one more block behind them.
constexpr std::int64_t pixel_block = 64;

inline std::int64_t whole_blocks(std::int64_t pixels) { return (pixels + pixel_block - 1) / pixel_block * pixel_block; }

// Byte shuffles that turn a block of pixels of `channels` planes into interleaved bytes. In vectors of 16 each stands
// here twice in a row, for both halves of a 256-bit register; in vectors of 64 a bit says which bytes a plane gives.
class Shuffles {
public:
    static constexpr std::int64_t bytes = 32, wide_bytes = 64;

    explicit Shuffles(std::int64_t channels)
        : channels_(channels), gather_(bytes * channels * channels), repeat_(bytes * channels),
          wide_(wide_bytes * channels), members_(channels * channels) {
        for (std::int64_t vector = 0; vector < channels; ++vector) {
            for (std::int64_t at = 0; at < bytes; ++at) {
                const std::int64_t from = 16 * vector + at % 16;
                const auto pixel = static_cast<std::uint8_t>(from / channels);
                repeat_[vector * bytes + at] = pixel;
                for (std::int64_t plane = 0; plane < channels; ++plane)
                    gather_[(vector * channels + plane) * bytes + at] = plane == from % channels ? pixel : clear;
            }
            for (std::int64_t at = 0; at < wide_bytes; ++at) {
                const std::int64_t from = wide_bytes * vector + at;
                wide_[from] = static_cast<std::uint8_t>(from / channels);
                members_[vector * channels + from % channels] |= std::uint64_t{1} << at;
            }
        }
    }

    std::int64_t channels() const { return channels_; }
    // Which pixels of `plane` go where in the vector; the planes' results are to be or-ed.
    const std::uint8_t* gather(std::int64_t vector, std::int64_t plane) const {
        return gather_.data() + (vector * channels_ + plane) * bytes;
    }
    // Which pixel of a single plane goes where in the vector, when every channel gets the same.
    const std::uint8_t* repeat(std::int64_t vector) const { return repeat_.data() + vector * bytes; }
    // The same for a vector of 64, and which of its bytes are the plane's.
    const std::uint8_t* wide(std::int64_t vector) const { return wide_.data() + vector * wide_bytes; }
    std::uint64_t members(std::int64_t vector, std::int64_t plane) const {
        return members_[vector * channels_ + plane];
    }

private:
    static constexpr std::uint8_t clear = 0x80;  // pshufb: this byte becomes zero

    std::int64_t channels_;
    std::vector<std::uint8_t> gather_, repeat_, wide_;
    std::vector<std::uint64_t> members_;
};

// Takes interleaved pixels of `stack` frames, oldest first, apart into those of all frames but the oldest, newest first:
// 64 bytes at a time, each out of 128 neighbouring bytes. 3 bytes before each of those is the same of the frame before.
struct Pairs {
    static constexpr int wide = 64;

    explicit Pairs(std::int64_t stack)
        : shuffles(3 * (stack - 1)), in(3 * stack), out(3 * (stack - 1)),
          period(out == 0 ? 0 : out / std::gcd<std::int64_t>(wide, out)), start(period), from(period) {
        for (std::int64_t at = 0; at < wide * period; ++at) {
            const std::int64_t first = at / wide * wide / out, frame = stack - 1 - at % out / 3;
            const std::int64_t place = in * (at / out - first) + 3 * frame + at % 3;
            start[at / wide] = in * first;
            from[at / wide][at % wide] = static_cast<std::uint8_t>(place);
            reach = std::max(reach, place);
        }
    }

    bool fits() const { return reach < 2 * wide; }
    // Bytes of pixels that one period of vectors takes.
    std::int64_t advance() const { return wide * period / out * in; }

    Shuffles shuffles;  // of planes, for kernels that interleave them anew
    std::int64_t in, out, period, reach = 0;
    std::vector<std::int64_t> start;
    std::vector<std::array<std::uint8_t, wide>> from;
};

// A row of every plane, moved sideways: result[x] = plane[from + x + right], the border repeated.
struct Move {
    std::int64_t from, width, right;  // |right| <= width
    std::uint8_t* room;               // for each plane room_bytes(width), aligned to a block

    static std::int64_t room_bytes(std::int64_t width) { return whole_blocks(3 * width + 2 * pixel_block); }
};

}  // namespace semore
