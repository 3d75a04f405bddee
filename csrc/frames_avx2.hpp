// The row kernels of frames_rows.hpp with AVX2. Include only where SEMORE_FRAMES_X86 is set; call only where
// the processor has AVX2. Streaming kernels bypass the cache, see stream_copy.hpp.
#pragma once

#include "frames_rows.hpp"

#include <immintrin.h>

#include <algorithm>

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

template <bool streaming>
SEMORE_AVX2 void store(__m256i vector, void* out) {
    if (streaming)
        _mm256_stream_si256(static_cast<__m256i*>(out), vector);
    else
        _mm256_storeu_si256(static_cast<__m256i*>(out), vector);
}

template <bool streaming>
SEMORE_AVX2 void store(Sixteen x, float* out) {
    const __m256 low = _mm256_unpacklo_ps(x.even, x.odd), high = _mm256_unpackhi_ps(x.even, x.odd);
    store<streaming>(_mm256_castps_si256(_mm256_permute2f128_ps(low, high, 0x20)), out);
    store<streaming>(_mm256_castps_si256(_mm256_permute2f128_ps(low, high, 0x31)), out + 8);
}

// Rounded to bfloat16, to nearest and ties to even, in the high half of each lane.
SEMORE_AVX2 inline __m256i bfloat16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i last_bit = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last_bit);
}

template <bool streaming>
SEMORE_AVX2 void store(Sixteen x, std::uint16_t* out) {
    const __m256i even = _mm256_srli_epi32(bfloat16(x.even), 16);
    store<streaming>(_mm256_blend_epi16(even, bfloat16(x.odd), 0b10101010), out);
}

// 16 values from position i on, of what the three kernels below make.
struct Scaled {
    const std::uint8_t* x;
    __m256 offset;
    SEMORE_AVX2 Sixteen at(std::int64_t i) const {
        const Sixteen pixels = load_levels(x + i);
        return {_mm256_sub_ps(pixels.even, offset), _mm256_sub_ps(pixels.odd, offset)};
    }
};

struct Masked {
    const std::uint8_t *x, *m;
    __m256 offset;
    SEMORE_AVX2 Sixteen at(std::int64_t i) const {
        const Sixteen pixels = load_levels(x + i), mask = load_levels(m + i);
        const __m256 even = product(pixels.even, mask.even), odd = product(pixels.odd, mask.odd);
        return {_mm256_sub_ps(even, offset), _mm256_sub_ps(odd, offset)};
    }
};

struct Changes {
    const std::uint8_t *x, *y;
    bool absolute;
    SEMORE_AVX2 Sixteen at(std::int64_t i) const {
        __m256i words = _mm256_sub_epi16(load_words(x + i), load_words(y + i));
        if (absolute) words = _mm256_abs_epi16(words);
        const __m256i even = _mm256_srai_epi32(_mm256_slli_epi32(words, 16), 16), odd = _mm256_srai_epi32(words, 16);
        return {levels(even), levels(odd)};
    }
};

struct MaskedChanges {
    Changes changes;
    const std::uint8_t* m;
    SEMORE_AVX2 Sixteen at(std::int64_t i) const {
        const Sixteen change = changes.at(i), mask = load_levels(m + i);
        return {product(change.even, mask.even), product(change.odd, mask.odd)};
    }
};

// Up to 16 values; inputs may be read past the last.
template <class T>
SEMORE_AVX2 void write_some(Sixteen values, std::int64_t count, T* out) {
    alignas(32) T whole[16];
    store<false>(values, whole);
    std::memcpy(out, whole, count * sizeof(T));
}

template <bool streaming, class Values, class T>
SEMORE_AVX2 void write(const Values& values, std::int64_t count, T* out) {
    constexpr std::uintptr_t alignment = 32;  // of a streaming store
    std::int64_t i = 0;
    if (streaming) {
        const std::uintptr_t before = (alignment - reinterpret_cast<std::uintptr_t>(out) % alignment) % alignment;
        i = std::min<std::int64_t>(count, before / sizeof(T));
        if (i > 0) write_some(values.at(0), i, out);
    }
    for (; i + 16 <= count; i += 16) store<streaming>(values.at(i), out + i);
    if (i < count) write_some(values.at(i), count - i, out + i);
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

template <class T, bool streaming>
SEMORE_AVX2 void scale(const Row& row, const RowPlan<T>& plan, T* out) {
    write<streaming>(Scaled{row.pixels, _mm256_set1_ps(plan.levels.offset)}, row.width * plan.channels, out);
}

template <class T, bool streaming>
SEMORE_AVX2 void scale_masked(const Row& row, const RowPlan<T>& plan, T* out) {
    const Masked values{row.pixels, row.other, _mm256_set1_ps(plan.levels.offset)};
    write<streaming>(values, row.width * plan.channels, out);
}

template <class T, bool streaming>
SEMORE_AVX2 void difference(const Row& row, const RowPlan<T>& plan, T* out) {
    write<streaming>(Changes{row.newer, row.other, plan.absolute}, row.width * plan.pairs.out, out);
}

template <class T, bool streaming>
SEMORE_AVX2 void subtract_centre(const Row& row, const RowPlan<T>& plan, T* out) {
    write<streaming>(Changes{row.pixels, row.centred_on, false}, row.width * plan.channels, out);
}

template <class T, bool streaming>
SEMORE_AVX2 void subtract_centre_masked(const Row& row, const RowPlan<T>& plan, T* out) {
    const MaskedChanges values{{row.pixels, row.centred_on, false}, row.other};
    write<streaming>(values, row.width * plan.channels, out);
}

template <class T, bool streaming>
void stack(const Row& row, const RowPlan<T>& plan, T* out) {
    interleave(row.planes, row.width, plan.shuffles, row.pixels);
    scale<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
void centred(const Row& row, const RowPlan<T>& plan, T* out) {
    interleave(row.planes, row.width, plan.shuffles, row.pixels);
    interleave(row.centre, row.width, plan.shuffles, row.centred_on);
    subtract_centre<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
void centred_masked(const Row& row, const RowPlan<T>& plan, T* out) {
    repeat(row.mask, row.width, plan.shuffles, row.other);
    subtract_centre_masked<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
void masked(const Row& row, const RowPlan<T>& plan, T* out) {
    repeat(row.mask, row.width, plan.shuffles, row.other);
    scale_masked<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
void residual(const Row& row, const RowPlan<T>& plan, T* out) {
    interleave(row.newest_first, row.width, plan.pairs.shuffles, row.newer);
    interleave(row.newest_first + 3, row.width, plan.pairs.shuffles, row.other);
    difference<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
RowKernels<T> kernels() {
    return {"avx2",
            portable::move,
            stack<T, streaming>,
            masked<T, streaming>,
            centred<T, streaming>,
            centred_masked<T, streaming>,
            residual<T, streaming>};
}

}  // namespace semore::avx2

#undef SEMORE_AVX2
