// The row kernels of frames_rows.hpp with AVX-512 VBMI, which looks bytes up in tables held in registers: a byte has
// 256 values, so its bfloat16 is looked up, not computed. Include only where SEMORE_FRAMES_X86 is set; call only where
// the processor has AVX-512 BW, VL and VBMI. float32, and what depends on two bytes, are frames_avx2.hpp's.
#pragma once

#include "frames_vbmi_parts.hpp"

namespace semore::vbmi {

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
