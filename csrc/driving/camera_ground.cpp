#include "instruction_sets.hpp"

#include "camera_ground.hpp"

#include "camera_texture.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

constexpr float dash_period_m = 9.0f, dash_half_m = 1.5f;
constexpr float line_half_m = 0.075f, edge_line_inset_m = 0.18f;
constexpr float kerb_width_m = 0.18f, gutter_width_m = 0.15f, gravel_width_m = 0.9f;
constexpr float slab_m = 0.9f;

struct GroundPaint {
    Rgb asphalt, line, centre_line, kerb, slab, grass, median, gravel;
};

const GroundPaint& ground_paint() {
    static const GroundPaint paint_box{paint(108, 109, 112), paint(232, 232, 226), paint(224, 178, 62),
                                       paint(176, 174, 168), paint(158, 152, 144), paint(92, 124, 58),
                                       paint(120, 128, 92),  paint(150, 140, 122)};
    return paint_box;
}

// What one row of ground needs, all constant along the row.
struct GroundRow {
    float x0, y0, dx, dy;               // world position at the first pixel and its step
    float half_along_m, half_across_m;  // half a pixel's footprint
    float eye_y, half_along_share;      // sideways place of the eye; half_along_m per metre of depth
    float grain_u, grain_v, grain_gain, patch_gain;
    float dash_blur;  // 1 where dashes have merged into an even tint
    float median_half_m, lane_width_m, inverse_lane, lanes_left, lanes_right, edge_left_m, edge_right_m, pavement_m;
    float band_m;  // the strip next to the asphalt: a kerb, or gravel
    Rgb band;
    bool double_sided;
    float dry;
    const float *grain, *patch;
};

constexpr std::int32_t id_bits(ClassId id) { return static_cast<std::int32_t>(id) << 8; }

struct Output {
    float *r, *g, *b, *ar, *ag, *ab;
    std::int32_t* ids;
};

// Where a point lies across the road.
struct Across {
    float s, k, lane_phase,
        beyond;  // from the median's edge, nearest lane line, place in the lane, beyond the road's edge
    bool edge, dashed, centre;
};

SEMORE_INLINE Across across_of(const GroundRow& g, float wy) {
    const bool on_left = wy > 0.0f;
    const float from_centre = abs_of(wy), lanes = select(on_left, g.lanes_left, g.lanes_right);
    Across a;
    a.beyond = from_centre - select(on_left, g.edge_left_m, g.edge_right_m);
    a.s = from_centre - g.median_half_m;
    const float q = a.s * g.inverse_lane;
    a.lane_phase = abs_of(q - floor_of(q) - 0.5f);
    // Lane lines lie on multiples of the lane width; the outermost ones are edge lines, set in a little.
    a.k = min_of(max_of(floor_of(q + 0.5f), 0.0f), lanes);
    a.edge = a.k == lanes, a.centre = a.k == 0.0f;
    a.dashed = (a.centre & g.double_sided) | !(a.centre | a.edge);
    return a;
}

// Paint on the asphalt: the share of a pixel that markings cover.
SEMORE_INLINE float marking_cover(const GroundRow& g, const Across& a, float wx, Footprint along, Footprint across) {
    const float inset = select(a.dashed, 0.0f, select(a.edge, -edge_line_inset_m, edge_line_inset_m));
    const float line = stripe_cover(abs_of(a.s - a.k * g.lane_width_m - inset), line_half_m, across);
    const float dash = stripes_cover(wx, dash_period_m, dash_half_m, along);
    const float even = dash + (2 * dash_half_m / dash_period_m - dash) * g.dash_blur;
    return select((a.beyond < 0.0f) & (a.s > -0.05f), line * select(a.dashed, even, 1.0f), 0.0f);
}

// Brightness of the bare ground: tyres darken two tracks in each lane, gutters are dirty, slabs have joints.
template <bool paved_sides>
SEMORE_INLINE float bare_tone(const GroundRow& g, const Across& a, float wx, float noise, float blotch, Footprint along,
                              Footprint across) {
    const float track = max_of(0.5f - abs_of(a.lane_phase * g.lane_width_m - 0.78f), 0.0f) * 0.22f;
    const float gutter = select(a.beyond > -gutter_width_m, 0.86f, 1.0f);
    const float road = (1.0f - track + (noise + blotch) * 0.9f) * gutter;
    float side = 1.0f + noise * 1.3f + blotch * 1.8f;
    if (paved_sides) {
        const float joints =
            max_of(stripes_cover(wx, slab_m, 0.02f, along), stripes_cover(a.beyond, slab_m, 0.02f, across));
        const float slab =
            select(a.beyond < g.band_m, 1.0f, 1.0f - 0.30f * joints) * (1.0f + noise * 0.3f + blotch * 0.4f);
        side = select(a.beyond < g.pavement_m, slab, side);
    }
    return select((a.beyond < 0.0f) & (a.s >= 0.0f), road, side) * g.dry;
}

template <bool paved_sides>
SEMORE_INLINE void shade_row(const GroundRow& g, const GroundPaint& p, Rgb light, int count, const Output& o) {
    const Footprint along(g.half_along_m);
    SEMORE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
        const float wx = g.x0 + g.dx * static_cast<float>(i), wy = g.y0 + g.dy * static_cast<float>(i);
        const float noise = noise_at(g.grain, wx * g.grain_u, wy * g.grain_v) * g.grain_gain;
        const float blotch = noise_at(g.patch, wx * 5.0f, wy * 9.0f) * g.patch_gain;
        const Across a = across_of(g, wy);
        // Along a column the ground also moves sideways, by its slant times a row's depth.
        const Footprint across(g.half_across_m + abs_of(wy - g.eye_y) * g.half_along_share);
        const float cover = marking_cover(g, a, wx, along, across), worn = cover * (0.92f + blotch * 0.4f);
        const float tone = bare_tone<paved_sides>(g, a, wx, noise, blotch, along, across);
        const bool road = a.beyond < 0.0f, band = a.beyond < g.band_m, walk = a.beyond < g.pavement_m,
                   island = a.s < 0.0f;
        const auto blend = [&](float asphalt, float median, float band_c, float slab, float grass, float line,
                               float centre) {
            const float side = select(band, band_c, paved_sides ? select(walk, slab, grass) : grass);
            const float bare = select(road, select(island, median, asphalt), side) * tone;
            return bare + (select(a.centre, centre, line) - bare) * worn;
        };
        const float r = blend(p.asphalt.r, p.median.r, g.band.r, p.slab.r, p.grass.r, p.line.r, p.centre_line.r);
        const float gr = blend(p.asphalt.g, p.median.g, g.band.g, p.slab.g, p.grass.g, p.line.g, p.centre_line.g);
        const float b = blend(p.asphalt.b, p.median.b, g.band.b, p.slab.b, p.grass.b, p.line.b, p.centre_line.b);
        o.ar[i] = r, o.ag[i] = gr, o.ab[i] = b;
        o.r[i] = r * light.r, o.g[i] = gr * light.g, o.b[i] = b * light.b;
        const int asphalt_id = select(cover > 0.45f, id_bits(ClassId::road_line), id_bits(ClassId::road));
        const int side_id = select(walk, id_bits(ClassId::sidewalk), id_bits(ClassId::terrain));
        o.ids[i] = select(road, select(island, id_bits(ClassId::terrain), asphalt_id), side_id);
    }
}

SEMORE_CLONES
void shade_street_row(const GroundRow g, const GroundPaint p, Rgb light, int count, const Output o) {
    shade_row<true>(g, p, light, count, o);
}

SEMORE_CLONES
void shade_open_row(const GroundRow g, const GroundPaint p, Rgb light, int count, const Output o) {
    shade_row<false>(g, p, light, count, o);
}

GroundRow ground_row(const RowScene& scene, float depth_m, float up_slope) {
    const View& view = scene.view;
    const RoadView& road = scene.scene.road;
    const Vec3 centre = view.forward * depth_m + view.up * (up_slope * depth_m);
    const float px_m = depth_m / view.focal_px;
    const float left0 = (view.centre_px - 0.5f) * px_m;
    GroundRow g{};
    g.x0 = view.origin.x + centre.x + view.left.x * left0, g.dx = -view.left.x * px_m;
    g.y0 = view.origin.y + centre.y + view.left.y * left0, g.dy = -view.left.y * px_m;
    const float height = std::max(view.origin.z, 0.1f);
    g.half_across_m = std::max(0.5f * px_m, 1e-4f);
    g.half_along_m = std::max(0.5f * depth_m * px_m / height, g.half_across_m);
    g.eye_y = view.origin.y, g.half_along_share = 0.7f * g.half_along_m / depth_m;
    g.grain_u = 1.0f / std::max(0.03f, 1.4f * g.half_along_m);
    g.grain_v = 1.0f / std::max(0.03f, 1.4f * g.half_across_m);
    g.grain_gain = 0.075f / (1.0f + 0.35f * g.half_along_m);
    g.patch_gain = 0.10f / (1.0f + 0.5f * g.half_along_m);
    g.dash_blur = clamp(2.0f * g.half_along_m / dash_period_m * 1.6f - 0.8f, 0.0f, 1.0f);
    g.median_half_m = 0.5f * road.median_width_m, g.lane_width_m = road.lane_width_m,
    g.inverse_lane = 1.0f / road.lane_width_m;
    g.lanes_left = static_cast<float>(road.lanes_oncoming), g.lanes_right = static_cast<float>(road.lanes_forward);
    g.edge_left_m = g.median_half_m + g.lanes_left * road.lane_width_m + road.shoulder_width_m;
    g.edge_right_m = g.median_half_m + g.lanes_right * road.lane_width_m + road.shoulder_width_m;
    g.pavement_m = road.pavement_width_m;
    const bool kerb = road.pavement_width_m > 0;
    g.band_m = kerb ? kerb_width_m : gravel_width_m, g.band = kerb ? ground_paint().kerb : ground_paint().gravel;
    g.grain = grain_noise(), g.patch = smooth_noise();
    g.double_sided = road.lanes_oncoming > 0 && road.median_width_m <= 0;
    g.dry = 1.0f - 0.35f * scene.lighting.wetness;
    return g;
}

// A wet road mirrors the sky, most at grazing angles.
SEMORE_CLONES
void add_sheen(Rgb sky, float amount, int count, const Output o) {
    SEMORE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
        const float share = select(o.ids[i] == id_bits(ClassId::terrain), 0.0f, amount * (0.7f + o.ag[i]));
        o.r[i] += (sky.r - o.r[i]) * share;
        o.g[i] += (sky.g - o.g[i]) * share;
        o.b[i] += (sky.b - o.b[i]) * share;
    }
}

// One row through a decal. (u0, v0) are its coordinates at the first column, in half sizes.
SEMORE_CLONES
void blend_decal(const GroundDecal d, float u0, float du, float v0, float dv, const Output o) {
    const float inverse_soft = 1.0f / d.soft;
    SEMORE_INDEPENDENT
    for (int i = d.column0; i < d.column1; ++i) {
        const float u = abs_of(u0 + du * static_cast<float>(i)), v = abs_of(v0 + dv * static_cast<float>(i));
        const float weight = unit_clamp((1.0f - u) * inverse_soft) * unit_clamp((1.0f - v) * inverse_soft);
        const float keep = 1.0f - d.shade * weight, glow = weight * weight;
        o.r[i] = o.r[i] * keep + o.ar[i] * d.glow.r * glow;
        o.g[i] = o.g[i] * keep + o.ag[i] * d.glow.g * glow;
        o.b[i] = o.b[i] * keep + o.ab[i] * d.glow.b * glow;
    }
}

struct RowPlace {
    float depth_m, up_slope;
    bool ground;
};

RowPlace row_place(const View& view, int row) {
    const float up = (view.centre_px - static_cast<float>(row) - 0.5f) / view.focal_px;
    const float falls = view.forward.z + up * view.up.z;
    return {falls < -1e-4f ? -view.origin.z / falls : 0.0f, up, falls < -1e-4f};
}

}  // namespace

bool ground_begins(const View& view, int row) { return row_place(view, row).ground; }

void shade_ground(const RowScene& scene, int row, PixelRow& out) {
    const RowPlace place = row_place(scene.view, row);
    const GroundRow g = ground_row(scene, place.depth_m, place.up_slope);
    const Output o{out.r.data(),  out.g.data(),  out.b.data(),  out.ar.data(),
                   out.ag.data(), out.ab.data(), out.ids.data()};
    (g.pavement_m > 0 ? shade_street_row : shade_open_row)(g, ground_paint(), scene.ground_light, out.size, o);
    std::fill(out.depth_m.begin(), out.depth_m.end(), place.depth_m);
    if (scene.lighting.wetness > 0) {
        const float grazing = 1.0f / (1.0f + scene.view.origin.z * 6.0f / place.depth_m);
        add_sheen(scene.lighting.horizon, scene.lighting.wetness * grazing * 0.8f, out.size, o);
    }
}

void apply_decals(const RowScene& scene, int row, const std::vector<GroundDecal>& decals, PixelRow& out) {
    const auto here = [row](const GroundDecal& d) { return row >= d.row0 && row < d.row1; };
    const RowPlace place = row_place(scene.view, row);
    if (!place.ground || std::none_of(decals.begin(), decals.end(), here)) return;
    const GroundRow g = ground_row(scene, place.depth_m, place.up_slope);
    const Output o{out.r.data(),  out.g.data(),  out.b.data(),  out.ar.data(),
                   out.ag.data(), out.ab.data(), out.ids.data()};
    for (const GroundDecal& d : decals) {
        if (!here(d)) continue;
        const float iu = 1.0f / d.half_length_m, iv = 1.0f / d.half_width_m;
        const float px = g.x0 - d.x, py = g.y0 - d.y;
        blend_decal(d, (px * d.axis_x + py * d.axis_y) * iu, (g.dx * d.axis_x + g.dy * d.axis_y) * iu,
                    (py * d.axis_x - px * d.axis_y) * iv, (g.dy * d.axis_x - g.dx * d.axis_y) * iv, o);
    }
}

void Frame::add_decal(GroundDecal d) const {
    if (view.origin.z <= 0) return;
    int behind = 0;
    const float size = static_cast<float>(view.size);
    float left = size, right = 0, top = size, bottom = 0;
    for (int i = 0; i < 4; ++i) {
        const float u = (i & 1 ? d.half_length_m : -d.half_length_m), v = (i & 2 ? d.half_width_m : -d.half_width_m);
        const Vec3 camera = view.to_camera({d.x + d.axis_x * u - d.axis_y * v, d.y + d.axis_y * u + d.axis_x * v, 0});
        if (camera.x < near_plane_m) {
            ++behind;
            continue;
        }
        const ScreenPoint p = project(view, camera);
        left = std::min(left, p.x), right = std::max(right, p.x);
        top = std::min(top, p.y), bottom = std::max(bottom, p.y);
    }
    if (behind == 4) return;
    if (behind > 0) left = 0, right = size, bottom = size;
    const auto pixel = [&](float v) { return static_cast<int>(clamp(v, 0.0f, size)); };
    d.column0 = pixel(left), d.column1 = pixel(right + 1);
    d.row0 = pixel(top), d.row1 = pixel(bottom + 1);
    if (d.column0 < d.column1 && d.row0 < d.row1) decals.push_back(d);
}

}  // namespace semore::driving
