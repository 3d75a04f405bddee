// Procedural textures: tileable noise, and the patterns of walls as functions of metric coordinates.
#pragma once

#include "camera_math.hpp"

namespace semore::driving {

constexpr int noise_size = 128;

// Tileable noise of noise_size x noise_size values in about [-1, 1]: uncorrelated grain, and clouds of several octaves.
const float* grain_noise();
const float* smooth_noise();

inline float noise_at(const float* tile, float u, float v) {
    const int column = static_cast<int>(floor_of(u)) & (noise_size - 1),
              row = static_cast<int>(floor_of(v)) & (noise_size - 1);
    return tile[row * noise_size + column];
}

// Half the width of a pixel on a surface, with its inverse at hand: stripes narrower than a pixel fade instead of
// flickering.
struct Footprint {
    explicit Footprint(float half_m) : half_m(half_m), inverse(0.5f / half_m) {}
    float half_m, inverse;
};

// Share of a pixel that a stripe of half width `half_m` at `distance_m` covers.
inline float stripe_cover(float distance_m, float half_m, Footprint px) {
    const float most = min_of(half_m * 2.0f * px.inverse, 1.0f);
    return min_of(max_of((half_m + px.half_m - distance_m) * px.inverse, 0.0f), most);
}

// The same for a stripe in the middle of every period.
inline float stripes_cover(float position_m, float period_m, float half_m, Footprint px) {
    const float t = position_m * (1.0f / period_m);
    return stripe_cover(abs_of(t - floor_of(t) - 0.5f) * period_m, half_m, px);
}

// Tones 0 wall, 1 window, 2 frame, 3 lit window, 4 wall and windows blurred together, 5 plinth or door.
inline int facade_tone(float u, float v, float v_px, float u_px, std::uint32_t seed) {
    const float bay = u * (1.0f / 2.6f), storey = v * (1.0f / 3.0f);
    const float bay_index = floor_of(bay), storey_index = floor_of(storey);
    const float du = abs_of((bay - bay_index - 0.5f) * 2.6f), dv = abs_of((storey - storey_index - 0.55f) * 3.0f);
    const bool glass = (du < 0.5f) & (dv < 0.68f) & ((du > 0.04f) | (u_px > 0.08f));
    const bool frame = (du < 0.62f) & (dv < 0.8f);
    std::uint32_t h = static_cast<std::uint32_t>(static_cast<std::int32_t>(bay_index) * 7 +
                                                 static_cast<std::int32_t>(storey_index) * 131) +
                      seed;
    h = h * 0x9E3779B1u;
    const bool lit = (h >> 30) == 0;
    int tone = select(frame, 2, 0);
    tone = select(glass, select(lit, 3, 1), tone);
    tone = select((u_px > 1.3f) | (v_px > 1.0f), 4, tone);
    return select(v < 0.45f, 5, tone);
}

// Tones 0 panel, 1 gap or joint, 2 top and posts.
inline int picket_tone(float u, float v, float v_px, float u_px) {
    const float slat = u * (1.0f / 0.24f), bay = u * (1.0f / 2.4f);
    const float in_slat = slat - floor_of(slat), in_bay = bay - floor_of(bay);
    const bool gap = ((in_slat < 0.22f) & (u_px < 0.12f)) | ((v < 0.12f) & (v_px < 0.1f));
    const bool frame = (v > 0.95f) | ((in_bay < 0.06f) & (u_px < 0.5f));
    return select(frame, 2, select(gap, 1, 0));
}

// The W profile of a guard rail. Tones 0 mid, 1 shaded fold, 2 lit fold.
inline int rail_tone(float v, float v_px) {
    const float fold = abs_of(v - 0.15f);
    const int tone = select((fold < 0.03f) | (v < 0.03f), 1, select(fold < 0.1f, 2, 0));
    return select(v_px > 0.08f, 0, tone);
}

// Horizontal boards or roof tiles. Tones 0 board, 1 joint.
inline int cladding_tone(float u, float v, float v_px, float u_px) {
    const float board = v * (1.0f / 0.32f), tile = u * (1.0f / 0.45f);
    const float in_board = board - floor_of(board), in_tile = tile - floor_of(tile);
    const bool joint = (in_board < 0.2f) & (v_px < 0.1f);
    const bool gap = (in_tile < 0.1f) & (u_px < 0.1f);
    return select(joint | gap, 1, 0);
}

}  // namespace semore::driving
