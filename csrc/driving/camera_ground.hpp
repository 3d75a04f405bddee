// Shading of one image row: road, verges and sky first, then the surfaces the rasteriser found, then light and air.
#pragma once

#include "camera_frame.hpp"

#include <cstdint>
#include <vector>

namespace semore::driving {

// One image row in linear light. depth_m is 0 where the sky is seen: the sky holds its own haze.
struct PixelRow {
    explicit PixelRow(int padded_size);
    int size;
    std::vector<float> r, g, b;     // light
    std::vector<float> ar, ag, ab;  // reflectance towards the ego's lamps
    std::vector<float> depth_m;
    std::vector<std::int32_t> ids;  // class << 8 | instance
};

// What does not change from row to row.
struct RowScene {
    RowScene(const SceneView& scene, const View& view, const Lighting& lighting, const EgoBeam& beam);
    const SceneView& scene;
    const View& view;
    const Lighting& lighting;
    const EgoBeam& beam;
    Rgb ground_light;
    std::vector<float> skyline;       // per column, slope of the treeline above the horizon
    std::vector<float> column_slope;  // left per metre of depth
};

bool ground_begins(const View& view, int row);  // true from the horizon down
void shade_sky(const RowScene& scene, int row, PixelRow& out);
void shade_ground(const RowScene& scene, int row, PixelRow& out);
void apply_decals(const RowScene& scene, int row, const std::vector<GroundDecal>& decals, PixelRow& out);
void apply_surfaces(const Raster& raster, int row, PixelRow& out);
void apply_beam(const RowScene& scene, int row, PixelRow& out);
void apply_fog(const Lighting& lighting, PixelRow& out);
void apply_glare(const std::vector<Glare>& glares, int row, PixelRow& out);
void apply_tone(const PixelRow& in, int count, std::uint8_t* r, std::uint8_t* g, std::uint8_t* b);

// Mean of factor x factor squares of one plane, rounded to nearest; out is size x size.
void shrink(const std::uint8_t* in, int size, int factor, std::uint8_t* out);
// Bits shift..shift + 7 of the ids of `count` pixels, taken at the centre of every `step` columns.
void store_ids(const PixelRow& in, int step, int count, int shift, std::uint8_t* out);
// Depth of the same pixels; the sky and what is farther off lie at sky_depth_m.
void store_depth(const PixelRow& in, int step, int count, float* out);

}  // namespace semore::driving
