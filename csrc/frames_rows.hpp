// What the input pipeline does to one row of pixels, as plain loops. frames_avx2.hpp and frames_vbmi.hpp do the same
// faster. T is float, or std::uint16_t holding the bits of a bfloat16.
#pragma once

#include "frames_shuffles.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace semore {

constexpr float per_level = 1.0 / 255;  // a product with this, not a division, is what the definition rounds

namespace portable {

// Rounded on its own: a compiler that fused the product into a subtraction would round once instead of twice.
inline float product(float a, float b) {
    const volatile float rounded = a * b;
    return rounded;
}

inline void store(float value, float* out) { *out = value; }

// To nearest, ties to even.
inline void store(float value, std::uint16_t* out) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    *out = static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float negative(float value) { return -value; }
inline std::uint16_t negative(std::uint16_t bits) { return bits ^ 0x8000; }

}  // namespace portable

// The last two bytes of 256 values apart: all of a bfloat16.
struct ByteTables {
    alignas(64) std::uint8_t low[256], high[256];

    template <class T>
    void set(int level, T value) {
        std::uint16_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        low[level] = static_cast<std::uint8_t>(bits);
        high[level] = static_cast<std::uint8_t>(bits >> 8);
    }
};

// All that a byte can become.
template <class T>
struct Levels {
    explicit Levels(float offset) : offset(offset) {
        for (int level = 0; level < 256; ++level) {
            const float value = portable::product(static_cast<float>(level), per_level);
            portable::store(value - offset, pixel + level);
            portable::store(value, change + level);
            pixel_bytes.set(level, pixel[level]);
            change_bytes.set(level, change[level]);
        }
    }

    float offset;
    T pixel[256];   // x / 255 - offset
    T change[256];  // |x - y| / 255
    ByteTables pixel_bytes, change_bytes;
};

// One row of pixels under way: its planes after `move`, and room for what is made of them.
struct Row {
    std::int64_t width;
    const std::uint8_t* const* planes;        // oldest frame first
    const std::uint8_t* const* newest_first;  // the same by frame the other way round
    const std::uint8_t* const* centre;        // as many planes, or null where there is an offset
    const std::uint8_t* mask;
    std::uint8_t *pixels, *newer, *other, *centred_on;  // whole_blocks(width) * channels and two more blocks
};

// What all rows share.
template <class T>
struct RowPlan {
    RowPlan(std::int64_t stack, float offset, bool absolute)
        : channels(3 * stack), absolute(absolute), levels(offset), shuffles(channels), pairs(stack) {}

    std::int64_t channels;
    bool absolute;  // residuals
    Levels<T> levels;
    Shuffles shuffles;
    Pairs pairs;
};

template <class T>
struct RowKernels {
    const char* name;
    // Leaves each plane's row in its room, and its address in `moved`.
    void (*move)(const std::uint8_t* const* planes, std::int64_t count, const Move&, const std::uint8_t** moved);
    // x / 255 - offset. Leaves interleaved bytes in row.pixels, which the others need.
    void (*stack)(const Row& row, const RowPlan<T>&, T* out);
    // x m / 255^2 - offset.
    void (*masked)(const Row& row, const RowPlan<T>&, T* out);
    // (x - c) / 255, c the centre, in place of stack. Leaves interleaved bytes in row.centred_on, too.
    void (*centred)(const Row& row, const RowPlan<T>&, T* out);
    // (x - c) m / 255^2, in place of masked.
    void (*centred_masked)(const Row& row, const RowPlan<T>&, T* out);
    // (x - y) / 255 or its magnitude, y the frame before x, newest first.
    void (*residual)(const Row& row, const RowPlan<T>&, T* out);
};

namespace portable {

// Rows are short: pieces of a fixed size beat calls of memcpy and memset.
inline void move(const std::uint8_t* const* planes, std::int64_t count, const Move& m, const std::uint8_t** moved) {
    constexpr std::int64_t piece = 16;
    for (std::int64_t plane = 0; plane < count; ++plane) {
        const std::uint8_t* const source = planes[plane] + m.from;
        std::uint8_t* const at = m.room + plane * Move::room_bytes(m.width) + piece + m.width;
        std::int64_t x = 0;
        for (; x + piece <= m.width; x += piece) std::memcpy(at + x, source + x, piece);
        for (; x < m.width; ++x) at[x] = source[x];
        for (x = 0; x < m.right; x += piece) std::memset(at + m.width + x, source[m.width - 1], piece);
        for (x = 0; x > m.right; x -= piece) std::memset(at + x - piece, source[0], piece);
        moved[plane] = at + m.right;
    }
}

inline void interleave(const std::uint8_t* const* planes, std::int64_t pixels, const Shuffles& shuffles,
                       std::uint8_t* out) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel)
        for (std::int64_t channel = 0; channel < shuffles.channels(); ++channel) *out++ = planes[channel][pixel];
}

inline void repeat(const std::uint8_t* plane, std::int64_t pixels, const Shuffles& shuffles, std::uint8_t* out) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel)
        for (std::int64_t channel = 0; channel < shuffles.channels(); ++channel) *out++ = plane[pixel];
}

template <class T>
void stack(const Row& row, const RowPlan<T>& plan, T* out) {
    interleave(row.planes, row.width, plan.shuffles, row.pixels);
    for (std::int64_t i = 0; i < row.width * plan.channels; ++i) out[i] = plan.levels.pixel[row.pixels[i]];
}

template <class T>
void masked(const Row& row, const RowPlan<T>& plan, T* out) {
    repeat(row.mask, row.width, plan.shuffles, row.other);
    for (std::int64_t i = 0; i < row.width * plan.channels; ++i)
        store(product(product(row.pixels[i], per_level), product(row.other[i], per_level)) - plan.levels.offset,
              out + i);
}

template <class T>
T signed_change(const RowPlan<T>& plan, std::uint8_t x, std::uint8_t y) {
    const T change = plan.levels.change[std::abs(x - y)];
    return x < y ? negative(change) : change;
}

template <class T>
void centred(const Row& row, const RowPlan<T>& plan, T* out) {
    interleave(row.planes, row.width, plan.shuffles, row.pixels);
    interleave(row.centre, row.width, plan.shuffles, row.centred_on);
    for (std::int64_t i = 0; i < row.width * plan.channels; ++i)
        out[i] = signed_change(plan, row.pixels[i], row.centred_on[i]);
}

template <class T>
void centred_masked(const Row& row, const RowPlan<T>& plan, T* out) {
    repeat(row.mask, row.width, plan.shuffles, row.other);
    for (std::int64_t i = 0; i < row.width * plan.channels; ++i) {
        const float change = static_cast<float>(row.pixels[i] - row.centred_on[i]);
        store(product(product(change, per_level), product(row.other[i], per_level)), out + i);
    }
}

template <class T>
void residual(const Row& row, const RowPlan<T>& plan, T* out) {
    interleave(row.newest_first, row.width, plan.pairs.shuffles, row.newer);
    interleave(row.newest_first + 3, row.width, plan.pairs.shuffles, row.other);
    for (std::int64_t i = 0; i < row.width * plan.pairs.out; ++i)
        out[i] = plan.absolute ? plan.levels.change[std::abs(row.newer[i] - row.other[i])]
                               : signed_change(plan, row.newer[i], row.other[i]);
}

template <class T>
RowKernels<T> kernels() {
    return {"portable", move, stack<T>, masked<T>, centred<T>, centred_masked<T>, residual<T>};
}

}  // namespace portable
}  // namespace semore
