// What the input pipeline does to one row of pixels, as plain loops. frames_avx2.hpp and frames_vbmi.hpp do the same
// faster. T is float, or std::uint16_t holding the bits of a bfloat16.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
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

// All that a byte can become.
template <class T>
struct Levels {
    explicit Levels(float offset) : offset(offset) {
        for (int level = 0; level < 256; ++level) {
            const float value = portable::product(static_cast<float>(level), per_level);
            portable::store(value - offset, pixel + level);
            portable::store(value, change + level);
        }
    }

    float offset;
    alignas(64) T pixel[256];   // x / 255 - offset
    alignas(64) T change[256];  // |x - y| / 255
};

template <class T>
struct RowKernels {
    const char* name;
    // Planes to interleaved bytes.
    void (*interleave)(const std::uint8_t* const* planes, std::int64_t pixels, const Shuffles&, std::uint8_t* out);
    // One plane to interleaved bytes, the same in every channel.
    void (*repeat)(const std::uint8_t* plane, std::int64_t pixels, const Shuffles&, std::uint8_t* out);
    // x / 255 - offset.
    void (*scale)(const std::uint8_t* x, std::int64_t count, const Levels<T>&, T* out);
    // x m / 255^2 - offset.
    void (*scale_masked)(const std::uint8_t* x, const std::uint8_t* m, std::int64_t count, const Levels<T>&, T* out);
    // (x - y) / 255, or its magnitude.
    void (*difference)(const std::uint8_t* x, const std::uint8_t* y, std::int64_t count, bool absolute,
                       const Levels<T>&, T* out);
};

namespace portable {

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
void scale(const std::uint8_t* x, std::int64_t count, const Levels<T>& levels, T* out) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = levels.pixel[x[i]];
}

template <class T>
void scale_masked(const std::uint8_t* x, const std::uint8_t* m, std::int64_t count, const Levels<T>& levels, T* out) {
    for (std::int64_t i = 0; i < count; ++i)
        store(product(product(x[i], per_level), product(m[i], per_level)) - levels.offset, out + i);
}

template <class T>
void difference(const std::uint8_t* x, const std::uint8_t* y, std::int64_t count, bool absolute,
                const Levels<T>& levels, T* out) {
    for (std::int64_t i = 0; i < count; ++i) {
        const T change = levels.change[std::abs(x[i] - y[i])];
        out[i] = x[i] < y[i] && !absolute ? negative(change) : change;
    }
}

template <class T>
RowKernels<T> kernels() {
    return {"portable", interleave, repeat, scale<T>, scale_masked<T>, difference<T>};
}

}  // namespace portable
}  // namespace semore
