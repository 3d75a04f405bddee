// Procedural textures: tileable noise, and the patterns of walls as functions of metric coordinates.
#pragma once

#include "camera_math.hpp"

namespace semore::driving {

constexpr int noise_size = 128;

// Tileable noise of noise_size x noise_size values in about [-1, 1]: uncorrelated grain, and clouds of several octaves.
const float* grain_noise();
const float* smooth_noise();

// Share of a pixel, `half_px` wide to either side, that a stripe of half width `half` at `distance` covers.
inline float stripe_cover(float distance, float half, float half_px) {
    const float inverse = 1.0f / (2.0f * half_px);
    const float most = half * 2.0f * inverse;
    float cover = (half + half_px - distance) * inverse;
    cover = cover < 0.0f ? 0.0f : cover;
    cover = cover > 1.0f ? 1.0f : cover;
    return cover > most ? most : cover;
}

// Tones 0 wall, 1 window, 2 frame, 3 lit window, 4 wall and windows blurred together, 5 plinth or door.
inline int facade_tone(float u, float v, float v_px, float u_px, std::uint32_t seed) {
    const float bay = u * (1.0f / 2.6f), storey = v * (1.0f / 3.0f);
    const float bay_index = floor_of(bay), storey_index = floor_of(storey);
    const float du = abs_of((bay - bay_index - 0.5f) * 2.6f), dv = abs_of((storey - storey_index - 0.55f) * 3.0f);
    const bool glass = (du < 0.5f) & (dv < 0.68f) & ((du > 0.04f) | (u_px > 0.08f));
    const bool frame = (du < 0.62f) & (dv < 0.8f);
    std::uint32_t h = static_cast<std::uint32_t>(static_cast<std::int32_t>(bay_index) * 7 +
                                                 static_cast<std::int32_t>(storey_index) * 131) + seed;
    h = h * 0x9E3779B1u;
    const bool lit = (h >> 30) == 0;
    int tone = frame ? 2 : 0;
    tone = glass ? (lit ? 3 : 1) : tone;
    tone = (u_px > 1.3f) | (v_px > 1.0f) ? 4 : tone;
    return v < 0.45f ? 5 : tone;
}

// Tones 0 panel, 1 gap or joint, 2 top and posts.
inline int picket_tone(float u, float v, float v_px, float u_px) {
    const float slat = u * (1.0f / 0.24f), bay = u * (1.0f / 2.4f);
    const float in_slat = slat - floor_of(slat), in_bay = bay - floor_of(bay);
    int tone = (in_slat < 0.22f) & (u_px < 0.12f) ? 1 : 0;
    tone = (v > 0.95f) | ((in_bay < 0.06f) & (u_px < 0.5f)) ? 2 : tone;
    return (v < 0.12f) & (v_px < 0.1f) ? 1 : tone;
}

// The W profile of a guard rail. Tones 0 mid, 1 shaded fold, 2 lit fold.
inline int rail_tone(float v, float v_px) {
    const float fold = abs_of(v - 0.15f);
    const int tone = fold < 0.03f ? 1 : (fold < 0.1f ? 2 : (v < 0.03f ? 1 : 0));
    return v_px > 0.08f ? 0 : tone;
}

// Horizontal boards or roof tiles. Tones 0 board, 1 joint.
inline int cladding_tone(float u, float v, float v_px, float u_px) {
    const float board = v * (1.0f / 0.32f), tile = u * (1.0f / 0.45f);
    const float in_board = board - floor_of(board), in_tile = tile - floor_of(tile);
    const bool joint = (in_board < 0.2f) & (v_px < 0.1f);
    const bool gap = (in_tile < 0.1f) & (u_px < 0.1f);
    return joint | gap ? 1 : 0;
}

}  // namespace semore::driving
