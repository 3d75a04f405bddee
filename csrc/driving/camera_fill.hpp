// The inner loops of the rasteriser: depth-tested rows of pixels.
#pragma once

#include "camera_raster.hpp"

namespace semore::driving {

// First pixel whose centre is at or beyond the coordinate.
inline int first_pixel(float coordinate, int size) {
    const float c = clamp(coordinate - 0.5f, -1.0f, static_cast<float>(size));
    const int whole = static_cast<int>(c);
    return whole + (c > static_cast<float>(whole) ? 1 : 0);
}

// A quantity that is linear on the screen.
struct Plane {
    float per_x = 0, per_y = 0, at_origin = 0;
    float at(float x, float y) const { return at_origin + per_x * x + per_y * y; }
};

// Rows row0..row1, each from left[row] to right[row], of the images they are written to.
struct Spans {
    const float *left, *right;
    int row0, row1, size, stride;
    float* depth;
    std::int32_t* surface;
};

struct WallPaint {
    Plane depth, u_over_z, v_over_z;
    float depth_min, depth_max;
    std::int32_t surface;
    std::uint32_t seed;
    float metres_per_px_at_1m;
};

struct BlobPaint {
    float x, y, inverse_rx, inverse_ry, depth, light_x, light_y, ragged;
    std::int32_t surface;
    std::uint32_t seed;
    const float* noise;
};

void fill_flat(const Spans s, Plane depth, float depth_min, float depth_max, std::int32_t surface);
void fill_wall(Pattern pattern, const Spans& s, const WallPaint& w);
void fill_blob(const Spans s, const BlobPaint b);

}  // namespace semore::driving
