// The row kernels of frames_rows.hpp with AVX2. Include only where SEMORE_FRAMES_X86 is set; call only where
// the processor has AVX2.
#pragma once

#include "frames_rows.hpp"

#include <immintrin.h>

#define SEMORE_AVX2 __attribute__((target("avx2")))

namespace semore::avx2 {

// An opaque point between product and subtraction, which a build for FMA would fuse into one rounding.
SEMORE_AVX2 inline __m256 product(__m256 a, __m256 b) {
    __m256 rounded = _mm256_mul_ps(a, b);
    asm("" : "+x"(rounded));
    return rounded;
}

SEMORE_AVX2 inline __m256 levels(__m256i whole) {
    return product(_mm256_cvtepi32_ps(whole), _mm256_set1_ps(per_level));
}

// 16 neighbouring values, apart by the parity of their position: bfloat16s of both then fit together by a blend.
struct Sixteen {
    __m256 even, odd;
};

SEMORE_AVX2 inline __m256i load_words(const std::uint8_t* bytes) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}

SEMORE_AVX2 inline Sixteen load_levels(const std::uint8_t* bytes) {
    const __m256i words = load_words(bytes);
    return {levels(_mm256_and_si256(words, _mm256_set1_epi32(0xffff))), levels(_mm256_srli_epi32(words, 16))};
}

SEMORE_AVX2 inline void store(Sixteen x, float* out) {
    const __m256 low = _mm256_unpacklo_ps(x.even, x.odd), high = _mm256_unpackhi_ps(x.even, x.odd);
    _mm256_storeu_ps(out, _mm256_permute2f128_ps(low, high, 0x20));
    _mm256_storeu_ps(out + 8, _mm256_permute2f128_ps(low, high, 0x31));
}

// Rounded to bfloat16, to nearest and ties to even, in the high half of each lane.
SEMORE_AVX2 inline __m256i bfloat16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i last_bit = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last_bit);
}

SEMORE_AVX2 inline void store(Sixteen x, std::uint16_t* out) {
    const __m256i even = _mm256_srli_epi32(bfloat16(x.even), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_blend_epi16(even, bfloat16(x.odd), 0b10101010));
}

template <class T>
SEMORE_AVX2 void scale16(const std::uint8_t* x, __m256 offset, T* out) {
    const Sixteen pixels = load_levels(x);
    store({_mm256_sub_ps(pixels.even, offset), _mm256_sub_ps(pixels.odd, offset)}, out);
}

template <class T>
SEMORE_AVX2 void scale_masked16(const std::uint8_t* x, const std::uint8_t* m, __m256 offset, T* out) {
    const Sixteen pixels = load_levels(x), mask = load_levels(m);
    const __m256 even = product(pixels.even, mask.even), odd = product(pixels.odd, mask.odd);
    store({_mm256_sub_ps(even, offset), _mm256_sub_ps(odd, offset)}, out);
}

template <class T>
SEMORE_AVX2 void difference16(const std::uint8_t* x, const std::uint8_t* y, bool absolute, T* out) {
    __m256i words = _mm256_sub_epi16(load_words(x), load_words(y));
    if (absolute) words = _mm256_abs_epi16(words);
    const __m256i even = _mm256_srai_epi32(_mm256_slli_epi32(words, 16), 16), odd = _mm256_srai_epi32(words, 16);
    store({levels(even), levels(odd)}, out);
}

SEMORE_AVX2 inline __m256i load_both(const std::uint8_t* bytes) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}

// Each 128-bit half holds 16 neighbouring pixels, so a vector's halves lie 16 * channels bytes apart.
SEMORE_AVX2 inline void store_halves(__m256i vector, std::uint8_t* out, std::int64_t apart) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(vector));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + apart), _mm256_extracti128_si256(vector, 1));
}

// With the number of channels known to the compiler the planes stay in registers.
template <int channels>
SEMORE_AVX2 void interleave_known(const std::uint8_t* const* planes, std::int64_t pixels, const Shuffles& shuffles,
                                  std::uint8_t* out) {
    const std::uint8_t* const first = shuffles.gather(0, 0);
    for (std::int64_t pixel = 0; pixel < pixels; pixel += 32, out += 32 * channels) {
        __m256i rows[channels];
        for (int plane = 0; plane < channels; ++plane) rows[plane] = load_both(planes[plane] + pixel);
        const std::uint8_t* gather = first;
        for (int vector = 0; vector < channels; ++vector) {
            __m256i sum = _mm256_setzero_si256();
            for (int plane = 0; plane < channels; ++plane, gather += Shuffles::bytes)
                sum = _mm256_or_si256(sum, _mm256_shuffle_epi8(rows[plane], load_both(gather)));
            store_halves(sum, out + 16 * vector, 16 * channels);
        }
    }
}

SEMORE_AVX2 inline void interleave_any(const std::uint8_t* const* planes, std::int64_t pixels,
                                       const Shuffles& shuffles, std::uint8_t* out) {
    const std::int64_t channels = shuffles.channels();
    for (std::int64_t pixel = 0; pixel < pixels; pixel += 32, out += 32 * channels)
        for (std::int64_t vector = 0; vector < channels; ++vector) {
            __m256i sum = _mm256_setzero_si256();
            for (std::int64_t plane = 0; plane < channels; ++plane)
                sum = _mm256_or_si256(sum, _mm256_shuffle_epi8(load_both(planes[plane] + pixel),
                                                               load_both(shuffles.gather(vector, plane))));
            store_halves(sum, out + 16 * vector, 16 * channels);
        }
}

SEMORE_AVX2 inline void interleave(const std::uint8_t* const* planes, std::int64_t pixels, const Shuffles& shuffles,
                                   std::uint8_t* out) {
    switch (shuffles.channels()) {
        case 9: return interleave_known<9>(planes, pixels, shuffles, out);
        case 6: return interleave_known<6>(planes, pixels, shuffles, out);
        default: interleave_any(planes, pixels, shuffles, out);
    }
}

SEMORE_AVX2 inline void repeat(const std::uint8_t* plane, std::int64_t pixels, const Shuffles& shuffles,
                               std::uint8_t* out) {
    const std::int64_t channels = shuffles.channels();
    for (std::int64_t pixel = 0; pixel < pixels; pixel += 32, out += 32 * channels) {
        const __m256i row = load_both(plane + pixel);
        for (std::int64_t vector = 0; vector < channels; ++vector)
            store_halves(_mm256_shuffle_epi8(row, load_both(shuffles.repeat(vector))), out + 16 * vector,
                         16 * channels);
    }
}

// The last, incomplete vector is made whole in `last` (its inputs are padded) and copied in part.
template <class T>
SEMORE_AVX2 void scale(const std::uint8_t* x, std::int64_t count, float offset, T* out) {
    const __m256 offsets = _mm256_set1_ps(offset);
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) scale16(x + i, offsets, out + i);
    if (i == count) return;
    T last[16];
    scale16(x + i, offsets, last);
    std::memcpy(out + i, last, (count - i) * sizeof(T));
}

template <class T>
SEMORE_AVX2 void scale_masked(const std::uint8_t* x, const std::uint8_t* m, std::int64_t count, float offset, T* out) {
    const __m256 offsets = _mm256_set1_ps(offset);
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) scale_masked16(x + i, m + i, offsets, out + i);
    if (i == count) return;
    T last[16];
    scale_masked16(x + i, m + i, offsets, last);
    std::memcpy(out + i, last, (count - i) * sizeof(T));
}

template <class T>
SEMORE_AVX2 void difference(const std::uint8_t* x, const std::uint8_t* y, std::int64_t count, bool absolute, T* out) {
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) difference16(x + i, y + i, absolute, out + i);
    if (i == count) return;
    T last[16];
    difference16(x + i, y + i, absolute, last);
    std::memcpy(out + i, last, (count - i) * sizeof(T));
}

template <class T>
RowKernels<T> kernels() {
    return {"avx2", interleave, repeat, scale<T>, scale_masked<T>, difference<T>};
}

}  // namespace semore::avx2

#undef SEMORE_AVX2
