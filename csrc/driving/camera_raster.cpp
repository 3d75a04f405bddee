#include "camera_raster.hpp"

#include "camera_fill.hpp"
#include "camera_texture.hpp"

#include <algorithm>

namespace semore::driving {

namespace {

constexpr int lane_padding = 16;
constexpr int max_corners = 16;

Plane fit_plane(const ScreenPoint& a, const ScreenPoint& b, const ScreenPoint& c, float qa, float qb, float qc) {
    const float ux = b.x - a.x, uy = b.y - a.y, vx = c.x - a.x, vy = c.y - a.y;
    const float area = ux * vy - uy * vx;
    if (abs_of(area) < 1e-6f) return {0, 0, qa};
    const float inverse = 1.0f / area, ub = qb - qa, vb = qc - qa;
    Plane plane;
    plane.per_x = (ub * vy - vb * uy) * inverse;
    plane.per_y = (vb * ux - ub * vx) * inverse;
    plane.at_origin = qa - plane.per_x * a.x - plane.per_y * a.y;
    return plane;
}

float twice_area(const ScreenPoint& a, const ScreenPoint& b, const ScreenPoint& c) {
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

// Keeps the part of a polygon beyond the near plane; Lerp interpolates a corner.
template <class Corner, class Depth, class Lerp>
int clip_near(const Corner* in, int count, Corner* out, Depth depth, Lerp lerp) {
    int kept = 0;
    for (int i = 0; i < count; ++i) {
        const Corner& a = in[i];
        const Corner& b = in[(i + 1) % count];
        const float da = depth(a) - near_plane_m, db = depth(b) - near_plane_m;
        if (da >= 0) out[kept++] = a;
        if ((da >= 0) != (db >= 0)) out[kept++] = lerp(a, b, da / (da - db));
    }
    return kept;
}

struct DepthRange {
    float low, high;
};

DepthRange depth_range(const ScreenPoint* p, int count) {
    DepthRange range{p[0].inverse_depth, p[0].inverse_depth};
    for (int i = 1; i < count; ++i) {
        range.low = std::min(range.low, p[i].inverse_depth);
        range.high = std::max(range.high, p[i].inverse_depth);
    }
    return range;
}

// Corner i of the fan triangle (0, i, i + 1) with the largest area: the best conditioned one for gradients.
int widest_fan(const ScreenPoint* p, int count) {
    int best = 1;
    float best_area = -1;
    for (int i = 1; i + 1 < count; ++i) {
        const float area = abs_of(twice_area(p[0], p[i], p[i + 1]));
        if (area > best_area) best = i, best_area = area;
    }
    return best;
}

float polygon_area(const ScreenPoint* p, int count) {
    float area = 0;
    for (int i = 1; i + 1 < count; ++i) area += twice_area(p[0], p[i], p[i + 1]);
    return area;
}

}  // namespace

std::uint32_t pack_light(Rgb light) {
    if (brightness(light) == 0) return 0;
    const auto channel = [](float v) {
        const float unit = clamp(v * (1.0f / packed_max), 0.0f, 1.0f);
        return static_cast<std::uint32_t>(std::sqrt(unit) * 1023.0f + 0.5f);
    };
    return channel(light.r) | channel(light.g) << 10 | channel(light.b) << 20;
}

View make_view(const SceneView& scene, int size) {
    const SinCos yaw = sin_cos(scene.camera_yaw_rad), pitch = sin_cos(scene.camera_pitch_rad);
    const SinCos half_fov = sin_cos(scene.fov_deg * (3.14159265f / 360.0f));
    View view;
    view.size = size;
    view.centre_px = static_cast<float>(size) * 0.5f;
    view.focal_px = view.centre_px * half_fov.cos / half_fov.sin;
    view.origin = {scene.camera_x_m, scene.camera_y_m, scene.camera_z_m};
    view.forward = {pitch.cos * yaw.cos, pitch.cos * yaw.sin, pitch.sin};
    view.left = {-yaw.sin, yaw.cos, 0};
    view.up = {-pitch.sin * yaw.cos, -pitch.sin * yaw.sin, pitch.cos};
    return view;
}

Raster::Raster(int size) : size_(size), stride_((size + lane_padding - 1) / lane_padding * lane_padding) {
    const auto pixels = static_cast<std::size_t>(size_) * static_cast<std::size_t>(stride_);
    inverse_depth_.resize(pixels);
    surface_.resize(pixels);
    left_.resize(static_cast<std::size_t>(size_));
    right_.resize(static_cast<std::size_t>(size_));
}

void Raster::begin() {
    std::fill(inverse_depth_.begin(), inverse_depth_.end(), 0.0f);
    std::fill(surface_.begin(), surface_.end(), 0);
    base_.assign(1, 0u);
    beam_.assign(1, 0u);
    id_.assign(1, 0u);
}

std::int32_t Raster::add_surface(Rgb base, Rgb beam, ClassId class_id, int instance_id) {
    base_.push_back(pack_light(base));
    beam_.push_back(pack_light(beam));
    id_.push_back(static_cast<std::uint32_t>(class_id) << 8 | static_cast<std::uint32_t>(instance_id));
    return static_cast<std::int32_t>(base_.size() - 1);
}

Raster::Span Raster::scan_edges(const ScreenPoint* p, int count, float area) {
    float top = p[0].y, bottom = p[0].y;
    for (int i = 1; i < count; ++i) top = std::min(top, p[i].y), bottom = std::max(bottom, p[i].y);
    const Span rows{std::max(0, first_pixel(top, size_)), std::min(size_, first_pixel(bottom, size_))};
    for (int i = 0; i < count; ++i) {
        const ScreenPoint &a = p[i], &b = p[i + 1 == count ? 0 : i + 1];
        const bool down = a.y < b.y;
        const ScreenPoint &upper = down ? a : b, &lower = down ? b : a;
        const int row0 = std::max(rows.row0, first_pixel(upper.y, size_));
        const int row1 = std::min(rows.row1, first_pixel(lower.y, size_));
        if (row0 >= row1) continue;
        const float slope = (lower.x - upper.x) / (lower.y - upper.y);
        float x = upper.x + (static_cast<float>(row0) + 0.5f - upper.y) * slope;
        float* side = down == (area > 0) ? right_.data() : left_.data();
        for (int row = row0; row < row1; ++row, x += slope) side[row] = x;
    }
    return rows;
}

void Raster::screen_polygon(const ScreenPoint* points, int count, std::int32_t surface) {
    const float area = polygon_area(points, count);
    if (abs_of(area) < 1e-9f) return;
    const Span rows = scan_edges(points, count, area);
    if (rows.row0 >= rows.row1) return;
    const int i = widest_fan(points, count);
    const DepthRange range = depth_range(points, count);
    const Plane depth = fit_plane(points[0], points[i], points[i + 1], points[0].inverse_depth, points[i].inverse_depth,
                                  points[i + 1].inverse_depth);
    const Spans spans{left_.data(), right_.data(),         rows.row0,      rows.row1, size_,
                      stride_,      inverse_depth_.data(), surface_.data()};
    fill_flat(spans, depth, range.low, range.high, surface);
}

void Raster::polygon(const View& view, const Vec3* camera, int count, std::int32_t surface, float bias) {
    Vec3 clipped[max_corners + 1];
    bool near = false;
    for (int i = 0; i < count; ++i) near |= camera[i].x < near_plane_m;
    if (near) {
        count = clip_near(
            camera, count, clipped, [](const Vec3& c) { return c.x; },
            [](const Vec3& a, const Vec3& b, float t) { return a + (b - a) * t; });
        if (count < 3) return;
        camera = clipped;
    }
    ScreenPoint points[max_corners + 1];
    for (int i = 0; i < count; ++i) {
        points[i] = project(view, camera[i]);
        points[i].inverse_depth *= bias;
    }
    screen_polygon(points, count, surface);
}

void Raster::wall(const View& view, const WallVertex* corners, int count, std::int32_t surface, Pattern pattern,
                  std::uint32_t seed) {
    WallVertex clipped[max_corners + 1];
    const auto lerp = [](const WallVertex& a, const WallVertex& b, float t) {
        return WallVertex{a.camera + (b.camera - a.camera) * t, mix(a.u, b.u, t), mix(a.v, b.v, t)};
    };
    count = clip_near(corners, count, clipped, [](const WallVertex& c) { return c.camera.x; }, lerp);
    if (count < 3) return;
    ScreenPoint p[max_corners + 1];
    for (int i = 0; i < count; ++i) p[i] = project(view, clipped[i].camera);
    const float area = polygon_area(p, count);
    if (abs_of(area) < 1e-9f) return;
    const Span rows = scan_edges(p, count, area);
    if (rows.row0 >= rows.row1) return;
    const int i = widest_fan(p, count);
    const DepthRange range = depth_range(p, count);
    const float za = p[0].inverse_depth, zb = p[i].inverse_depth, zc = p[i + 1].inverse_depth;
    WallPaint paint;
    paint.depth = fit_plane(p[0], p[i], p[i + 1], za, zb, zc);
    paint.u_over_z = fit_plane(p[0], p[i], p[i + 1], clipped[0].u * za, clipped[i].u * zb, clipped[i + 1].u * zc);
    paint.v_over_z = fit_plane(p[0], p[i], p[i + 1], clipped[0].v * za, clipped[i].v * zb, clipped[i + 1].v * zc);
    paint.depth_min = range.low, paint.depth_max = range.high;
    paint.surface = surface, paint.seed = seed;
    paint.metres_per_px_at_1m = 1.0f / view.focal_px;
    const Spans spans{left_.data(), right_.data(),         rows.row0,      rows.row1, size_,
                      stride_,      inverse_depth_.data(), surface_.data()};
    fill_wall(pattern, spans, paint);
}

void Raster::limb(const View& view, Vec3 camera_a, Vec3 camera_b, float width_a_m, float width_b_m,
                  std::int32_t surface) {
    if (camera_a.x < near_plane_m || camera_b.x < near_plane_m) return;
    const ScreenPoint a = project(view, camera_a), b = project(view, camera_b);
    const float dx = b.x - a.x, dy = b.y - a.y;
    const float length = std::sqrt(dx * dx + dy * dy);
    const float nx = length > 1e-4f ? -dy / length : 1.0f, ny = length > 1e-4f ? dx / length : 0.0f;
    const float wa = 0.5f * std::max(width_a_m * view.focal_px * a.inverse_depth, 1.0f);
    const float wb = 0.5f * std::max(width_b_m * view.focal_px * b.inverse_depth, 1.0f);
    const ScreenPoint quad[4] = {{a.x + nx * wa, a.y + ny * wa, a.inverse_depth},
                                 {b.x + nx * wb, b.y + ny * wb, b.inverse_depth},
                                 {b.x - nx * wb, b.y - ny * wb, b.inverse_depth},
                                 {a.x - nx * wa, a.y - ny * wa, a.inverse_depth}};
    screen_polygon(quad, 4, surface);
}

void Raster::blob(const View& view, Vec3 camera, float half_width_m, float half_height_m, std::int32_t surface,
                  float light_x, float light_y, float ragged, std::uint32_t seed) {
    if (camera.x < near_plane_m) return;
    const ScreenPoint p = project(view, camera);
    const float scale = view.focal_px * p.inverse_depth;
    const float rx = std::max(half_width_m * scale, 0.6f), ry = std::max(half_height_m * scale, 0.6f);
    const int row0 = std::max(0, first_pixel(p.y - ry, size_)), row1 = std::min(size_, first_pixel(p.y + ry, size_));
    if (row0 >= row1 || p.x + rx < 0 || p.x - rx > static_cast<float>(size_)) return;
    const Spans spans{nullptr, nullptr, row0, row1, size_, stride_, inverse_depth_.data(), surface_.data()};
    fill_blob(spans, {p.x, p.y, 1.0f / rx, 1.0f / ry, p.inverse_depth, light_x, light_y, ragged, surface, seed,
                      smooth_noise()});
}

}  // namespace semore::driving
