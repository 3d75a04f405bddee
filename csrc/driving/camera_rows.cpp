#include "instruction_sets.hpp"

#include "camera.hpp"
#include "camera_ground.hpp"
#include "camera_texture.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

constexpr float unpack_scale = packed_max / (1023.0f * 1023.0f);

inline float unpack(std::uint32_t packed, int shift) {
    const float root = static_cast<float>(static_cast<std::int32_t>(packed >> shift & 1023u));
    return root * root * unpack_scale;
}

struct SkyRow {
    float elevation;  // slope above the horizon
    Rgb clear, cloud;
    float cloudiness, cloud_u, cloud_v;  // cloud_v: share of the second noise row
    const float *noise0, *noise1;
    Rgb trees;
};

// Clouds lie on a plane high above; their rows are stretched towards the horizon.
SEMORE_CLONES
void shade_sky_row(const SkyRow s, const float* slope, const float* skyline, int count, float* r, float* g, float* b,
                   std::int32_t* ids) {
    float noise[noise_size + 1];
    for (int i = 0; i < noise_size; ++i) noise[i] = mix(s.noise0[i], s.noise1[i], s.cloud_v);
    noise[noise_size] = noise[0];
    SEMORE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
        const float u = slope[i] * s.cloud_u + 2048.0f, whole = floor_of(u);
        const int left = static_cast<int>(whole) & 127;
        const float cover = unit_clamp(mix(noise[left], noise[left + 1], u - whole) * 0.9f + s.cloudiness - 0.35f);
        const bool trees = s.elevation < skyline[i];
        const float cr = s.clear.r + (s.cloud.r - s.clear.r) * cover;
        const float cg = s.clear.g + (s.cloud.g - s.clear.g) * cover;
        const float cb = s.clear.b + (s.cloud.b - s.clear.b) * cover;
        r[i] = select(trees, s.trees.r, cr);
        g[i] = select(trees, s.trees.g, cg);
        b[i] = select(trees, s.trees.b, cb);
        ids[i] = select(trees, static_cast<int>(ClassId::vegetation), static_cast<int>(ClassId::sky)) << 8;
    }
}

SEMORE_CLONES
bool any_surface(const float* inverse_depth, int count) {
    std::int32_t hits = 0;
    for (int i = 0; i < count; ++i) hits |= static_cast<std::int32_t>(inverse_depth[i] > 0.0f);
    return hits != 0;
}

SEMORE_CLONES
void lookup_surfaces(const float* inverse_depth, const std::int32_t* surface, const std::uint32_t* base,
                     const std::uint32_t* beam, const std::uint32_t* id, int count, float* r, float* g, float* b,
                     float* ar, float* ag, float* ab, float* depth, std::int32_t* ids) {
    SEMORE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
        const bool hit = inverse_depth[i] > 0.0f;
        const std::uint32_t q = base[surface[i]], a = beam[surface[i]];
        const std::int32_t d = static_cast<std::int32_t>(id[surface[i]]);
        r[i] = select(hit, unpack(q, 0), r[i]);
        g[i] = select(hit, unpack(q, 10), g[i]);
        b[i] = select(hit, unpack(q, 20), b[i]);
        ar[i] = select(hit, unpack(a, 0), ar[i]);
        ag[i] = select(hit, unpack(a, 10), ag[i]);
        ab[i] = select(hit, unpack(a, 20), ab[i]);
        depth[i] = select(hit, 1.0f / inverse_depth[i], depth[i]);
        ids[i] = select(hit, d, ids[i]);
    }
}

SEMORE_CLONES
void light_row(const EgoBeam beam, Vec3 start, Vec3 ray, Vec3 step, const float* depth, int count, const float* ar,
               const float* ag, const float* ab, float* r, float* g, float* b) {
    SEMORE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
        const float fi = static_cast<float>(i), d = depth[i];
        const float light = beam.at(start.x + d * (ray.x + fi * step.x), start.y + d * (ray.y + fi * step.y),
                                    start.z + d * (ray.z + fi * step.z));
        r[i] += ar[i] * light;
        g[i] += ag[i] * light * 0.95f;
        b[i] += ab[i] * light * 0.82f;
    }
}

SEMORE_CLONES
void fog_row(Rgb fog, float per_m, const float* depth, int count, float* r, float* g, float* b) {
    SEMORE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
        const float t = depth[i] * per_m;
        const float share = 1.0f - 1.0f / (1.0f + t * (1.0f + t * (0.5f + t * 0.166667f)));
        r[i] += (fog.r - r[i]) * share;
        g[i] += (fog.g - g[i]) * share;
        b[i] += (fog.b - b[i]) * share;
    }
}

SEMORE_CLONES
void glare_row(float x, float dy2, float core2, float floor_share, Rgb colour, int x0, int x1, float* r, float* g,
               float* b) {
    SEMORE_INDEPENDENT
    for (int i = x0; i < x1; ++i) {
        const float dx = static_cast<float>(i) + 0.5f - x;
        const float a = max_of(core2 / (dx * dx + dy2 + core2) - floor_share, 0.0f);
        r[i] += colour.r * a;
        g[i] += colour.g * a;
        b[i] += colour.b * a;
    }
}

SEMORE_CLONES
void tone_row(const float* __restrict in, int count, std::uint8_t* __restrict out) {
    SEMORE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
        const float v = min_of(tone(in[i]) * 255.0f + 0.5f, 255.0f);
        out[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(v));
    }
}

SEMORE_CLONES
void split_ids(const std::int32_t* ids, int count, int shift, std::uint8_t* out) {
    for (int i = 0; i < count; ++i) out[i] = static_cast<std::uint8_t>(ids[i] >> shift & 255);
}

template <int factor>
SEMORE_INLINE void shrink_row(const std::uint8_t* __restrict in, int count, std::uint8_t* __restrict out) {
    for (int x = 0; x < count; ++x) {
        std::int32_t sum = factor * factor / 2;
        for (int i = 0; i < factor * factor; ++i) sum += in[(i / factor) * count * factor + x * factor + i % factor];
        out[x] = static_cast<std::uint8_t>(sum / (factor * factor));
    }
}

SEMORE_CLONES
void shrink_row_2(const std::uint8_t* in, int count, std::uint8_t* out) { shrink_row<2>(in, count, out); }

SEMORE_CLONES
void shrink_row_3(const std::uint8_t* in, int count, std::uint8_t* out) { shrink_row<3>(in, count, out); }

SEMORE_CLONES
void shrink_row_4(const std::uint8_t* in, int count, std::uint8_t* out) { shrink_row<4>(in, count, out); }

float row_slope(const View& view, int row) { return (view.centre_px - static_cast<float>(row) - 0.5f) / view.focal_px; }

Vec3 in_beam_axes(const EgoBeam& beam, Vec3 v) { return {dot(v, beam.forward), dot(v, beam.left), v.z}; }

// A far line of trees and hills, as slope above the horizon, by azimuth.
float skyline_at(float slope, float yaw_rad, bool town) {
    const float azimuth = yaw_rad * 60.0f + slope * 55.0f + 4096.0f;
    const float whole = floor_of(azimuth);
    const int index = static_cast<int>(whole) & 127;
    const float* noise = smooth_noise() + 37 * noise_size;
    const float broad = mix(noise[index], noise[(index + 1) & 127], azimuth - whole);
    return 0.022f + 0.014f * broad + (town ? 0.012f : 0.0f);
}

}  // namespace

PixelRow::PixelRow(int padded_size) : size(padded_size) {
    const auto n = static_cast<std::size_t>(padded_size);
    for (auto* channel : {&r, &g, &b, &ar, &ag, &ab, &depth_m}) channel->resize(n);
    ids.resize(n);
}

RowScene::RowScene(const SceneView& s, const View& v, const Lighting& l, const EgoBeam& e)
    : scene(s), view(v), lighting(l), beam(e), ground_light(l.irradiance({0, 0, 1})) {
    const auto columns = static_cast<std::size_t>((v.size + 15) / 16 * 16);
    skyline.resize(columns);
    column_slope.resize(columns);
    for (std::size_t i = 0; i < columns; ++i) {
        column_slope[i] = (v.centre_px - static_cast<float>(i) - 0.5f) / v.focal_px;
        skyline[i] = skyline_at(column_slope[i], s.camera_yaw_rad, s.road.town);
    }
}

void shade_sky(const RowScene& scene, int row, PixelRow& out) {
    const Lighting& l = scene.lighting;
    SkyRow s;
    s.elevation = scene.view.forward.z + row_slope(scene.view, row) * scene.view.up.z;
    const float e = std::max(s.elevation, 0.0f), high = e / (e + 0.25f);
    s.clear = mix(l.horizon, l.zenith, high * 1.45f > 1 ? 1 : high * 1.45f);
    const float thin = clamp(e * 9.0f - 0.3f, 0.0f, 1.0f);
    s.cloud = mix(s.clear, l.cloud, thin);
    s.cloudiness = l.cloudiness;
    s.cloud_u = 16.0f / (e + 0.08f);
    const float v = 18.0f / (e + 0.08f), whole = floor_of(v);
    s.cloud_v = v - whole;
    s.noise0 = smooth_noise() + (static_cast<int>(whole) & 127) * noise_size;
    s.noise1 = smooth_noise() + (static_cast<int>(whole + 1) & 127) * noise_size;
    s.trees = mix(paint(64, 84, 60) * l.irradiance({-0.8f, 0, 0.6f}), l.fog, 0.55f);
    shade_sky_row(s, scene.column_slope.data(), scene.skyline.data(), out.size, out.r.data(), out.g.data(),
                  out.b.data(), out.ids.data());
    for (auto* channel : {&out.ar, &out.ag, &out.ab, &out.depth_m}) std::fill(channel->begin(), channel->end(), 0.0f);
}

void apply_surfaces(const Raster& raster, int row, PixelRow& out) {
    const float* depth = raster.depth_row(row);
    if (!any_surface(depth, out.size)) return;
    lookup_surfaces(depth, raster.surface_row(row), raster.bases(), raster.beams(), raster.ids(), out.size,
                    out.r.data(), out.g.data(), out.b.data(), out.ar.data(), out.ag.data(), out.ab.data(),
                    out.depth_m.data(), out.ids.data());
}

void apply_beam(const RowScene& scene, int row, PixelRow& out) {
    const View& view = scene.view;
    const EgoBeam& beam = scene.beam;
    if (!beam.on) return;
    const Vec3 ray =
        view.forward + view.up * row_slope(view, row) + view.left * ((view.centre_px - 0.5f) / view.focal_px);
    light_row(beam, in_beam_axes(beam, view.origin - beam.origin), in_beam_axes(beam, ray),
              in_beam_axes(beam, view.left * (-1.0f / view.focal_px)), out.depth_m.data(), out.size, out.ar.data(),
              out.ag.data(), out.ab.data(), out.r.data(), out.g.data(), out.b.data());
}

void apply_fog(const Lighting& lighting, PixelRow& out) {
    fog_row(lighting.fog, lighting.fog_per_m, out.depth_m.data(), out.size, out.r.data(), out.g.data(), out.b.data());
}

void apply_glare(const std::vector<Glare>& glares, int row, PixelRow& out) {
    for (const Glare& glare : glares) {
        const float dy = static_cast<float>(row) + 0.5f - glare.y;
        if (abs_of(dy) >= glare.radius_px) continue;
        const float core2 = glare.core_px * glare.core_px;
        const float size = static_cast<float>(out.size);
        const int x0 = static_cast<int>(clamp(glare.x - glare.radius_px, 0.0f, size));
        const int x1 = static_cast<int>(clamp(glare.x + glare.radius_px + 1.0f, 0.0f, size));
        glare_row(glare.x, dy * dy, core2, core2 / (glare.radius_px * glare.radius_px + core2), glare.colour, x0, x1,
                  out.r.data(), out.g.data(), out.b.data());
    }
}

void apply_tone(const PixelRow& in, int count, std::uint8_t* r, std::uint8_t* g, std::uint8_t* b) {
    tone_row(in.r.data(), count, r);
    tone_row(in.g.data(), count, g);
    tone_row(in.b.data(), count, b);
}

void store_ids(const PixelRow& in, int step, int count, int shift, std::uint8_t* out) {
    if (step == 1) return split_ids(in.ids.data(), count, shift, out);
    const std::int32_t* centre = in.ids.data() + step / 2;
    for (int i = 0; i < count; ++i) out[i] = static_cast<std::uint8_t>(centre[i * step] >> shift & 255);
}

void store_depth(const PixelRow& in, int step, int count, float* out) {
    const float* centre = in.depth_m.data() + step / 2;
    for (int i = 0; i < count; ++i) {
        const float depth = centre[i * step];
        out[i] = depth > 0 ? min_of(depth, sky_depth_m) : sky_depth_m;
    }
}

void shrink(const std::uint8_t* in, int size, int factor, std::uint8_t* out) {
    const auto shrink_one = factor == 2 ? shrink_row_2 : factor == 3 ? shrink_row_3 : shrink_row_4;
    const std::ptrdiff_t in_rows = static_cast<std::ptrdiff_t>(factor) * factor * size;
    for (int row = 0; row < size; ++row)
        shrink_one(in + row * in_rows, size, out + static_cast<std::ptrdiff_t>(row) * size);
}

}  // namespace semore::driving
