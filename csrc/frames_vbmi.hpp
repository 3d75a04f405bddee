// The row kernels of frames_rows.hpp with AVX-512 VBMI, which looks bytes up in tables held in registers: a byte has
// 256 values, so its bfloat16 is looked up, not computed. Include only where SEMORE_FRAMES_X86 is set; call only where
// the processor has AVX-512 BW, VL and VBMI. float32, and what depends on two bytes, are frames_avx2.hpp's.
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

// Whether every vector of an output row is whole and begins where a streaming store may.
inline bool whole_vectors(const Row& row, const std::uint16_t* out) {
    return row.width % 64 == 0 && reinterpret_cast<std::uintptr_t>(out) % 64 == 0;
}

// Three frames at once, the stack that everyone uses: planes are transposed 8 x 64 bytes at a time by unpacking, and
// looked up before they leave the registers, so that computing and storing overlap.
namespace nine {

struct Tables {
    std::uint16_t sorted[32] = {};      // word 8 l + j of a plane becomes number 4 j + l: unpacking undoes it
    std::uint8_t from[9][64] = {};      // of two neighbouring groups of 8 pixels x 8 planes, or of the ninth plane
    std::uint64_t is_ninth[9] = {};
};

constexpr Tables make_tables() {
    Tables tables;
    for (int lane = 0; lane < 4; ++lane)
        for (int group = 0; group < 8; ++group)
            tables.sorted[8 * lane + group] = static_cast<std::uint16_t>(4 * group + lane);
    for (int vector = 0; vector < 9; ++vector)
        for (int at = 0; at < 64; ++at) {
            const int pixel = (64 * vector + at) / 9, plane = (64 * vector + at) % 9;
            const int second = vector > 0 && pixel / 8 == vector ? 64 : 0;
            tables.from[vector][at] = static_cast<std::uint8_t>(plane == 8 ? pixel : second + pixel % 8 * 8 + plane);
            if (plane == 8) tables.is_ninth[vector] |= std::uint64_t{1} << at;
        }
    return tables;
}

alignas(64) constexpr Tables tables = make_tables();

// Groups of 8 pixels, each pixel's first 8 planes side by side.
SEMORE_VBMI inline void transpose(const std::uint8_t* const* planes, std::int64_t pixel, __m512i (&groups)[8]) {
    const __m512i sorted = load(tables.sorted);
    __m512i two[8], four[8];
    for (int pair = 0; pair < 4; ++pair) {
        const __m512i a = _mm512_maskz_permutexvar_epi16(~__mmask32{0}, sorted, load(planes[2 * pair] + pixel));
        const __m512i b = _mm512_maskz_permutexvar_epi16(~__mmask32{0}, sorted, load(planes[2 * pair + 1] + pixel));
        two[pair] = _mm512_unpacklo_epi8(a, b);
        two[4 + pair] = _mm512_unpackhi_epi8(a, b);
    }
    for (int half = 0; half < 8; half += 4)
        for (int pair = 0; pair < 2; ++pair) {
            four[half + pair] = _mm512_unpacklo_epi16(two[half + 2 * pair], two[half + 2 * pair + 1]);
            four[half + 2 + pair] = _mm512_unpackhi_epi16(two[half + 2 * pair], two[half + 2 * pair + 1]);
        }
    for (int quarter = 0; quarter < 4; ++quarter) {
        groups[2 * quarter] = _mm512_maskz_unpacklo_epi32(0xffff, four[2 * quarter], four[2 * quarter + 1]);
        groups[2 * quarter + 1] = _mm512_maskz_unpackhi_epi32(0xffff, four[2 * quarter], four[2 * quarter + 1]);
    }
}

template <bool streaming>
SEMORE_VBMI void stack(const Row& row, const RowPlan<std::uint16_t>& plan, std::uint16_t* out) {
    const Table table(plan.levels.pixel_bytes);
    std::uint8_t* pixels = row.pixels;
    for (std::int64_t pixel = 0; pixel < row.width; pixel += 64) {
        __m512i groups[8];
        transpose(row.planes, pixel, groups);
        const __m512i ninth = load(row.planes[8] + pixel);
        for (int vector = 0; vector < 9; ++vector, pixels += 64, out += 64) {
            const __m512i from = load(tables.from[vector]);
            const __m512i& first = groups[vector > 0 ? vector - 1 : 0];
            const __m512i& second = groups[vector < 8 ? vector : 7];
            const __m512i eight = _mm512_permutex2var_epi8(first, from, second);
            const __m512i bytes = _mm512_mask_permutexvar_epi8(eight, tables.is_ninth[vector], from, ninth);
            _mm512_storeu_si512(pixels, bytes);
            const __m512i in_order = spread(bytes);
            join<streaming>({look_up(table.low, in_order), look_up(table.high, in_order)}, out);
        }
    }
}

}  // namespace nine

template <bool streaming>
SEMORE_VBMI void scale(const Row& row, const RowPlan<std::uint16_t>& plan, std::uint16_t* out) {
    const Table table(plan.levels.pixel_bytes);
    write<streaming>(Scaled{row.pixels, table}, row.width * plan.channels, out);
}

template <bool streaming>
SEMORE_VBMI void subtract_centre(const Row& row, const RowPlan<std::uint16_t>& plan, std::uint16_t* out) {
    const Table table(plan.levels.change_bytes);
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    write<streaming>(Changes{row.pixels, row.centred_on, table, sign}, row.width * plan.channels, out);
}

template <bool streaming>
SEMORE_VBMI void difference(const Row& row, const RowPlan<std::uint16_t>& plan, std::uint16_t* out) {
    const Table table(plan.levels.change_bytes);
    const __m512i sign = _mm512_set1_epi8(plan.absolute ? 0 : static_cast<char>(0x80));
    write<streaming>(Changes{row.newer, row.other, table, sign}, row.width * plan.pairs.out, out);
}

// The difference straight out of interleaved pixels, in registers as well.
template <bool streaming>
SEMORE_VBMI void difference_of_pixels(const Row& row, const RowPlan<std::uint16_t>& plan, std::uint16_t* out) {
    const Table table(plan.levels.change_bytes);
    const Changes changes{nullptr, nullptr, table, _mm512_set1_epi8(plan.absolute ? 0 : static_cast<char>(0x80))};
    const __m512i one_frame = _mm512_set1_epi8(3);
    const std::uint16_t* const end = out + row.width * plan.pairs.out;
    for (const std::uint8_t* pixels = row.pixels; out < end; pixels += plan.pairs.advance())
        for (std::int64_t vector = 0; vector < plan.pairs.period && out < end; ++vector, out += 64) {
            const std::uint8_t* const near = pixels + plan.pairs.start[vector];
            const __m512i first = load(near), second = load(near + 64);
            const __m512i from = load(plan.pairs.from[vector].data()), before = _mm512_sub_epi8(from, one_frame);
            join<streaming>(changes.of(_mm512_permutex2var_epi8(first, from, second),
                                       _mm512_permutex2var_epi8(first, before, second)),
                            out);
        }
}

template <class T, bool streaming>
void stack(const Row& row, const RowPlan<T>& plan, T* out) {
    if constexpr (sizeof(T) == sizeof(std::uint16_t)) {
        if (plan.channels == 9 && whole_vectors(row, out)) return nine::stack<streaming>(row, plan, out);
        interleave(row.planes, row.width, plan.shuffles, row.pixels);
        scale<streaming>(row, plan, out);
    } else {
        interleave(row.planes, row.width, plan.shuffles, row.pixels);
        avx2::scale<T, streaming>(row, plan, out);
    }
}

template <class T, bool streaming>
void masked(const Row& row, const RowPlan<T>& plan, T* out) {
    repeat(row.mask, row.width, plan.shuffles, row.other);
    avx2::scale_masked<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
void centred(const Row& row, const RowPlan<T>& plan, T* out) {
    interleave(row.planes, row.width, plan.shuffles, row.pixels);
    interleave(row.centre, row.width, plan.shuffles, row.centred_on);
    if constexpr (sizeof(T) == sizeof(std::uint16_t))
        subtract_centre<streaming>(row, plan, out);
    else
        avx2::subtract_centre<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
void centred_masked(const Row& row, const RowPlan<T>& plan, T* out) {
    repeat(row.mask, row.width, plan.shuffles, row.other);
    avx2::subtract_centre_masked<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
void residual(const Row& row, const RowPlan<T>& plan, T* out) {
    if constexpr (sizeof(T) == sizeof(std::uint16_t))
        if (plan.pairs.fits() && whole_vectors(row, out)) return difference_of_pixels<streaming>(row, plan, out);
    interleave(row.newest_first, row.width, plan.pairs.shuffles, row.newer);
    interleave(row.newest_first + 3, row.width, plan.pairs.shuffles, row.other);
    if constexpr (sizeof(T) == sizeof(std::uint16_t))
        difference<streaming>(row, plan, out);
    else
        avx2::difference<T, streaming>(row, plan, out);
}

template <class T, bool streaming>
RowKernels<T> kernels() {
    return {"avx512vbmi",
            move,
            stack<T, streaming>,
            masked<T, streaming>,
            centred<T, streaming>,
            centred_masked<T, streaming>,
            residual<T, streaming>};
}

}  // namespace semore::vbmi

#undef SEMORE_VBMI
