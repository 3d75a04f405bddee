#include "camera_texture.hpp"

#include <array>

namespace semore::driving {

namespace {

using Tile = std::array<float, noise_size * noise_size>;

float lattice(int x, int y, int cells, std::uint32_t salt) {
    const auto wrap = [cells](int v) { return static_cast<std::uint32_t>(v & (cells - 1)); };
    return static_cast<float>(hash_u32(wrap(x), wrap(y), salt) >> 8) * 0x1p-23f - 1.0f;
}

float octave(int x, int y, int cells, std::uint32_t salt) {
    const float scale = static_cast<float>(cells) / noise_size;
    const float fx = static_cast<float>(x) * scale, fy = static_cast<float>(y) * scale;
    const int ix = static_cast<int>(fx), iy = static_cast<int>(fy);
    const auto ease = [](float t) { return t * t * (3.0f - 2.0f * t); };
    const float tx = ease(fx - static_cast<float>(ix)), ty = ease(fy - static_cast<float>(iy));
    const float top = mix(lattice(ix, iy, cells, salt), lattice(ix + 1, iy, cells, salt), tx);
    const float bottom = mix(lattice(ix, iy + 1, cells, salt), lattice(ix + 1, iy + 1, cells, salt), tx);
    return mix(top, bottom, ty);
}

template <class Value>
Tile make_tile(Value value) {
    Tile tile;
    for (int y = 0; y < noise_size; ++y)
        for (int x = 0; x < noise_size; ++x) tile[static_cast<std::size_t>(y * noise_size + x)] = value(x, y);
    return tile;
}

}  // namespace

const float* grain_noise() {
    static const Tile tile = make_tile([](int x, int y) {
        return 0.65f * lattice(x, y, noise_size, 1) + 0.5f * octave(x, y, 64, 2) + 0.35f * octave(x, y, 32, 3);
    });
    return tile.data();
}

const float* smooth_noise() {
    static const Tile tile = make_tile([](int x, int y) {
        return 0.75f * octave(x, y, 4, 4) + 0.5f * octave(x, y, 8, 5) + 0.3f * octave(x, y, 16, 6) +
               0.2f * octave(x, y, 32, 7);
    });
    return tile.data();
}

}  // namespace semore::driving
