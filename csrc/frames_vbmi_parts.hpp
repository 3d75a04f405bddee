// What the row kernels of frames_vbmi.hpp are made of: moving, interleaving and looking up bytes, 64 at a time.
#pragma once

#include "frames_avx2.hpp"

#define SEMORE_VBMI __attribute__((target("avx2,bmi2,avx512f,avx512bw,avx512vl,avx512vbmi")))

namespace semore::vbmi {

SEMORE_VBMI inline __m512i load(const void* bytes) { return _mm512_loadu_si512(bytes); }

// out[i] = bytes[from[i]]. Under a mask that is always set: GCC 12 warns about its own header's unmasked form.
SEMORE_VBMI inline __m512i permuted(__m512i bytes, __m512i from) {
    return _mm512_maskz_permutexvar_epi8(~__mmask64{0}, from, bytes);
}

SEMORE_VBMI inline __mmask64 lanes_before(std::int64_t lane) {
    return _bzhi_u64(~std::uint64_t{0}, static_cast<unsigned>(std::clamp<std::int64_t>(lane, 0, 64)));
}

// The border fills the lanes that a masked load leaves out, so nothing outside the row is read, and rows begin where
// vectors do: what was just stored can be loaded again without waiting.
SEMORE_VBMI inline void move(const std::uint8_t* const* planes, std::int64_t count, const Move& m,
                             const std::uint8_t** moved) {
    const std::int64_t bytes = Move::room_bytes(m.width);
    for (std::int64_t plane = 0; plane < count; ++plane) moved[plane] = m.room + plane * bytes;
    for (std::int64_t x = 0; x < m.width; x += 64) {
        const __mmask64 left = lanes_before(-m.right - x), inside = lanes_before(m.width - m.right - x) & ~left;
        for (std::int64_t plane = 0; plane < count; ++plane) {
            const std::uint8_t* const source = planes[plane] + m.from;
            if (inside == ~__mmask64{0}) {
                _mm512_store_si512(m.room + plane * bytes + x, load(source + x + m.right));
                continue;
            }
            const __m512i last = _mm512_set1_epi8(static_cast<char>(source[m.width - 1]));
            const __m512i border = _mm512_mask_set1_epi8(last, left, static_cast<char>(source[0]));
            const __m512i row = _mm512_mask_loadu_epi8(border, inside, source + x + m.right);
            _mm512_store_si512(m.room + plane * bytes + x, row);
        }
    }
}

SEMORE_VBMI inline void interleave(const std::uint8_t* const* planes, std::int64_t pixels, const Shuffles& shuffles,
                                   std::uint8_t* out) {
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

SEMORE_VBMI inline void repeat(const std::uint8_t* plane, std::int64_t pixels, const Shuffles& shuffles,
                               std::uint8_t* out) {
    for (std::int64_t pixel = 0; pixel < pixels; pixel += 64) {
        const __m512i row = load(plane + pixel);
        for (std::int64_t vector = 0; vector < shuffles.channels(); ++vector, out += 64)
            _mm512_storeu_si512(out, permuted(row, load(shuffles.wide(vector))));
    }
}

// 256 words in registers, their low and high bytes apart.
struct Table {
    SEMORE_VBMI explicit Table(const ByteTables& bytes) {
        for (int quarter = 0; quarter < 4; ++quarter) {
            low[quarter] = load(bytes.low + 64 * quarter);
            high[quarter] = load(bytes.high + 64 * quarter);
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
    SEMORE_VBMI Words at(std::int64_t i) const { return of(load(x + i), load(y + i)); }
    SEMORE_VBMI Words of(__m512i newer, __m512i older) const {
        const __m512i a = spread(newer), b = spread(older);
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

}  // namespace semore::vbmi
