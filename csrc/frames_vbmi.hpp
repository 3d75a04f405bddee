// The row kernels of frames_rows.hpp with AVX-512 VBMI, which looks bytes up in tables held in registers: a byte has
// 256 values, so its bfloat16 is looked up, not computed. Include only where SEMORE_FRAMES_X86 is set; call only where
// the processor has AVX-512 BW, VL and VBMI. float32, and what depends on two bytes, are frames_avx2.hpp's.
#pragma once

#include "frames_avx2.hpp"

#include <array>

#define SEMORE_VBMI __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vbmi")))

namespace semore::vbmi {

SEMORE_VBMI inline __m512i load(const void* bytes) { return _mm512_loadu_si512(bytes); }

// out[i] = bytes[from[i]]. Under a mask that is always set: GCC 12 warns about its own header's unmasked form.
SEMORE_VBMI inline __m512i permuted(__m512i bytes, __m512i from) {
    return _mm512_maskz_permutexvar_epi8(~__mmask64{0}, from, bytes);
}

// With the number of channels known to the compiler the planes stay in registers.
template <int channels>
SEMORE_VBMI void interleave_known(const std::uint8_t* const* planes, std::int64_t pixels, const Shuffles& shuffles,
                                  std::uint8_t* out) {
    for (std::int64_t pixel = 0; pixel < pixels; pixel += 64) {
        __m512i rows[channels];
        for (int plane = 0; plane < channels; ++plane) rows[plane] = load(planes[plane] + pixel);
        for (int vector = 0; vector < channels; ++vector, out += 64) {
            const __m512i from = load(shuffles.wide(vector));
            __m512i sum = permuted(rows[0], from);
            for (int plane = 1; plane < channels; ++plane)
                sum = _mm512_mask_permutexvar_epi8(sum, shuffles.members(vector, plane), from, rows[plane]);
            _mm512_storeu_si512(out, sum);
        }
    }
}

SEMORE_VBMI inline void interleave_any(const std::uint8_t* const* planes, std::int64_t pixels,
                                       const Shuffles& shuffles, std::uint8_t* out) {
    const std::int64_t channels = shuffles.channels();
    for (std::int64_t pixel = 0; pixel < pixels; pixel += 64)
        for (std::int64_t vector = 0; vector < channels; ++vector, out += 64) {
            const __m512i from = load(shuffles.wide(vector));
            __m512i sum = permuted(load(planes[0] + pixel), from);
            for (std::int64_t plane = 1; plane < channels; ++plane)
                sum = _mm512_mask_permutexvar_epi8(sum, shuffles.members(vector, plane), from,
                                                   load(planes[plane] + pixel));
            _mm512_storeu_si512(out, sum);
        }
}

SEMORE_VBMI inline void interleave(const std::uint8_t* const* planes, std::int64_t pixels, const Shuffles& shuffles,
                                   std::uint8_t* out) {
    switch (shuffles.channels()) {
        case 9: return interleave_known<9>(planes, pixels, shuffles, out);
        case 6: return interleave_known<6>(planes, pixels, shuffles, out);
        default: interleave_any(planes, pixels, shuffles, out);
    }
}

SEMORE_VBMI inline void repeat(const std::uint8_t* plane, std::int64_t pixels, const Shuffles& shuffles,
                               std::uint8_t* out) {
    for (std::int64_t pixel = 0; pixel < pixels; pixel += 64) {
        const __m512i row = load(plane + pixel);
        for (std::int64_t vector = 0; vector < shuffles.channels(); ++vector, out += 64)
            _mm512_storeu_si512(out, permuted(row, load(shuffles.wide(vector))));
    }
}

// 256 words, their low and high bytes apart.
struct Table {
    SEMORE_VBMI explicit Table(const std::uint16_t* words) {
        std::array<std::uint8_t, 64> even;
        for (int i = 0; i < 64; ++i) even[i] = static_cast<std::uint8_t>(2 * i);
        const __m512i evens = load(even.data()), odds = _mm512_add_epi8(evens, _mm512_set1_epi8(1));
        for (int quarter = 0; quarter < 4; ++quarter) {
            const __m512i first = load(words + 64 * quarter), second = load(words + 64 * quarter + 32);
            low[quarter] = _mm512_permutex2var_epi8(first, evens, second);
            high[quarter] = _mm512_permutex2var_epi8(first, odds, second);
        }
    }
    __m512i low[4], high[4];
};

SEMORE_VBMI inline __m512i look_up(const __m512i (&table)[4], __m512i x) {
    const __m512i below = _mm512_permutex2var_epi8(table[0], x, table[1]);
    const __m512i above = _mm512_permutex2var_epi8(table[2], x, table[3]);
    return _mm512_mask_mov_epi8(below, _mm512_movepi8_mask(x), above);
}

// 64 words, with their low and high bytes apart in the order in which join() takes them.
struct Words {
    __m512i low, high;
};

// Brings 64 bytes into the order that join() puts right: it works on each 128 bits alone.
SEMORE_VBMI inline __m512i spread(__m512i x) {
    return _mm512_maskz_permutexvar_epi64(0xff, _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), x);
}

struct Scaled {
    const std::uint8_t* x;
    const Table& table;
    SEMORE_VBMI Words at(std::int64_t i) const {
        const __m512i bytes = spread(load(x + i));
        return {look_up(table.low, bytes), look_up(table.high, bytes)};
    }
};

struct Changes {
    const std::uint8_t *x, *y;
    const Table& table;
    __m512i sign;  // of a negative change
    SEMORE_VBMI Words at(std::int64_t i) const {
        const __m512i a = spread(load(x + i)), b = spread(load(y + i));
        const __m512i change = _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a));
        const __m512i high = look_up(table.high, change);
        const __m512i signs = _mm512_maskz_mov_epi8(_mm512_cmplt_epu8_mask(a, b), sign);
        return {look_up(table.low, change), _mm512_or_si512(high, signs)};
    }
};

template <bool streaming>
SEMORE_VBMI void join(Words words, std::uint16_t* out) {
    const __m512i first = _mm512_unpacklo_epi8(words.low, words.high);
    const __m512i second = _mm512_unpackhi_epi8(words.low, words.high);
    if (streaming) {
        _mm512_stream_si512(reinterpret_cast<__m512i*>(out), first);
        _mm512_stream_si512(reinterpret_cast<__m512i*>(out + 32), second);
    } else {
        _mm512_storeu_si512(out, first);
        _mm512_storeu_si512(out + 32, second);
    }
}

// Up to 64 values; inputs may be read past the last.
SEMORE_VBMI inline void write_some(Words words, std::int64_t count, std::uint16_t* out) {
    alignas(64) std::uint16_t whole[64];
    join<false>(words, whole);
    std::memcpy(out, whole, count * sizeof *out);
}

template <bool streaming, class Values>
SEMORE_VBMI void write(const Values& values, std::int64_t count, std::uint16_t* out) {
    constexpr std::uintptr_t alignment = 64;  // of a streaming store
    std::int64_t i = 0;
    if (streaming) {
        const std::uintptr_t before = (alignment - reinterpret_cast<std::uintptr_t>(out) % alignment) % alignment;
        i = std::min<std::int64_t>(count, before / sizeof *out);
        if (i > 0) write_some(values.at(0), i, out);
    }
    for (; i + 64 <= count; i += 64) join<streaming>(values.at(i), out + i);
    if (i < count) write_some(values.at(i), count - i, out + i);
}

template <bool streaming>
SEMORE_VBMI void scale(const std::uint8_t* x, std::int64_t count, const Levels<std::uint16_t>& levels,
                       std::uint16_t* out) {
    const Table table(levels.pixel);
    write<streaming>(Scaled{x, table}, count, out);
}

template <bool streaming>
SEMORE_VBMI void difference(const std::uint8_t* x, const std::uint8_t* y, std::int64_t count, bool absolute,
                            const Levels<std::uint16_t>& levels, std::uint16_t* out) {
    const Table table(levels.change);
    write<streaming>(Changes{x, y, table, _mm512_set1_epi8(absolute ? 0 : static_cast<char>(0x80))}, count, out);
}

// Of float kernels only the order of bytes is worth wider registers.
template <class T, bool streaming>
RowKernels<T> kernels() {
    RowKernels<T> made = avx2::kernels<T, streaming>();
    made.name = "avx512vbmi";
    made.interleave = interleave;
    made.repeat = repeat;
    if constexpr (sizeof(T) == sizeof(std::uint16_t)) {
        made.scale = scale<streaming>;
        made.difference = difference<streaming>;
    }
    return made;
}

}  // namespace semore::vbmi

#undef SEMORE_VBMI
