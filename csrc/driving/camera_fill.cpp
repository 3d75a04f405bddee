#include "instruction_sets.hpp"

#include "camera_fill.hpp"

#include "camera_texture.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

template <class Pick>
SEMORE_INLINE void fill_pattern(const Spans s, const WallPaint w, Pick pick) {
    for (int row = s.row0; row < s.row1; ++row) {
        const int x0 = std::max(0, first_pixel(s.left[row], s.size)), x1 = first_pixel(s.right[row], s.size);
        float* __restrict z = s.depth + static_cast<std::ptrdiff_t>(row) * s.stride;
        std::int32_t* __restrict out = s.surface + static_cast<std::ptrdiff_t>(row) * s.stride;
        const float y = static_cast<float>(row) + 0.5f;
        const float z0 = w.depth.at(0.5f, y), u0 = w.u_over_z.at(0.5f, y), v0 = w.v_over_z.at(0.5f, y);
        SEMORE_INDEPENDENT
        for (int x = x0; x < x1; ++x) {
            const float fx = static_cast<float>(x);
            float d = z0 + w.depth.per_x * fx;
            d = min_of(max_of(d, w.depth_min), w.depth_max);
            const float metres = 1.0f / d;
            const float u = (u0 + w.u_over_z.per_x * fx) * metres, v = (v0 + w.v_over_z.per_x * fx) * metres;
            const float px = metres * w.metres_per_px_at_1m;
            const float u_px = abs_of(w.u_over_z.per_x - u * w.depth.per_x) * metres;
            const std::int32_t id = w.surface + pick(u, v, px, u_px);
            const float old = z[x];
            z[x] = select(d > old, d, old);
            out[x] = select(d > old, id, out[x]);
        }
    }
}

SEMORE_CLONES
void fill_facade(const Spans s, const WallPaint w) {
    const std::uint32_t seed = w.seed;
    fill_pattern(s, w,
                 [seed](float u, float v, float v_px, float u_px) { return facade_tone(u, v, v_px, u_px, seed); });
}

SEMORE_CLONES
void fill_pickets(const Spans s, const WallPaint w) {
    fill_pattern(s, w, [](float u, float v, float v_px, float u_px) { return picket_tone(u, v, v_px, u_px); });
}

SEMORE_CLONES
void fill_rail(const Spans s, const WallPaint w) {
    fill_pattern(s, w, [](float, float v, float v_px, float) { return rail_tone(v, v_px); });
}

SEMORE_CLONES
void fill_cladding(const Spans s, const WallPaint w) {
    fill_pattern(s, w, [](float u, float v, float v_px, float u_px) { return cladding_tone(u, v, v_px, u_px); });
}

}  // namespace

SEMORE_CLONES
void fill_flat(const Spans s, Plane depth, float depth_min, float depth_max, std::int32_t surface) {
    for (int row = s.row0; row < s.row1; ++row) {
        const int x0 = std::max(0, first_pixel(s.left[row], s.size)), x1 = first_pixel(s.right[row], s.size);
        float* __restrict z = s.depth + static_cast<std::ptrdiff_t>(row) * s.stride;
        std::int32_t* __restrict out = s.surface + static_cast<std::ptrdiff_t>(row) * s.stride;
        const float start = depth.at(0.5f, static_cast<float>(row) + 0.5f);
        SEMORE_INDEPENDENT
        for (int x = x0; x < x1; ++x) {
            float d = start + depth.per_x * static_cast<float>(x);
            d = min_of(max_of(d, depth_min), depth_max);
            const float old = z[x];
            z[x] = select(d > old, d, old);
            out[x] = select(d > old, surface, out[x]);
        }
    }
}

SEMORE_CLONES
void fill_blob(const Spans s, const BlobPaint b) {
    const int shift_u = static_cast<int>(b.seed & 127u), shift_v = static_cast<int>(b.seed >> 8 & 127u);
    for (int row = s.row0; row < s.row1; ++row) {
        const float v = (static_cast<float>(row) + 0.5f - b.y) * b.inverse_ry;
        const float half = v * v < 1.0f ? std::sqrt(1.0f - v * v) / b.inverse_rx : 0.0f;
        const int x0 = std::max(0, first_pixel(b.x - half, s.size)), x1 = first_pixel(b.x + half, s.size);
        float* __restrict z = s.depth + static_cast<std::ptrdiff_t>(row) * s.stride;
        std::int32_t* __restrict out = s.surface + static_cast<std::ptrdiff_t>(row) * s.stride;
        const float* noise_row = b.noise + ((static_cast<int>(v * 12.0f + 64.0f) + shift_v) & 127) * 128;
        SEMORE_INDEPENDENT
        for (int x = x0; x < x1; ++x) {
            const float u = (static_cast<float>(x) + 0.5f - b.x) * b.inverse_rx;
            const float leaf = noise_row[(static_cast<int>(u * 12.0f + 64.0f) + shift_u) & 127] * b.ragged;
            const float lit = u * b.light_x + v * b.light_y + leaf * 0.9f;
            const std::int32_t tone =
                static_cast<int>(lit > -0.45f) + static_cast<int>(lit > 0.05f) + static_cast<int>(lit > 0.5f);
            const bool inside = u * u + v * v + leaf * 0.45f + b.ragged * 0.2f < 1.0f;
            const float old = z[x];
            const bool wins = (b.depth > old) & inside;
            z[x] = select(wins, b.depth, old);
            out[x] = select(wins, b.surface + tone, out[x]);
        }
    }
}

void fill_wall(Pattern pattern, const Spans& s, const WallPaint& w) {
    switch (pattern) {
        case Pattern::flat: return fill_flat(s, w.depth, w.depth_min, w.depth_max, w.surface);
        case Pattern::facade: return fill_facade(s, w);
        case Pattern::pickets: return fill_pickets(s, w);
        case Pattern::rail: return fill_rail(s, w);
        case Pattern::cladding: return fill_cladding(s, w);
    }
}

}  // namespace semore::driving
