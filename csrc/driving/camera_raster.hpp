// Z-buffered rasteriser of small convex polygons and blobs. It stores, for each pixel, the depth and the surface seen;
// colours are looked up once a frame is complete, so hidden pixels cost almost nothing.
#pragma once

#include "camera_math.hpp"
#include "scene.hpp"

#include <cstdint>
#include <vector>

namespace semore::driving {

// Pinhole view of one frame. Camera coordinates of a Vec3: x depth along the optical axis, y to the left, z up.
struct View {
    int size = 0;
    float focal_px = 1, centre_px = 0;
    Vec3 origin, forward, left, up;

    Vec3 to_camera(Vec3 p) const {
        const Vec3 d = p - origin;
        return {dot(d, forward), dot(d, left), dot(d, up)};
    }
};

View make_view(const SceneView& scene, int size);

struct ScreenPoint {
    float x, y, inverse_depth;
};

constexpr float near_plane_m = 0.2f;

inline ScreenPoint project(const View& view, Vec3 camera) {
    const float inverse = 1.0f / camera.x, scale = view.focal_px * inverse;
    return {view.centre_px - camera.y * scale, view.centre_px - camera.z * scale, inverse};
}

// Texture of a wall, fence or rail: picks one of consecutive surfaces from metric wall coordinates (u along, v up).
enum class Pattern : std::uint8_t { flat, facade, pickets, rail, cladding };

struct WallVertex {
    Vec3 camera;  // camera coordinates
    float u, v;   // metres along and up the wall
};

class Raster {
public:
    explicit Raster(int size);
    void begin();

    // base: light leaving the surface without the ego's lamps; beam: its reflectance towards them.
    std::int32_t add_surface(Rgb base, Rgb beam, ClassId class_id, int instance_id);

    // Convex polygon in camera coordinates, any winding, clipped at the near plane. bias > 1 wins over coplanar faces.
    void polygon(const View& view, const Vec3* camera, int count, std::int32_t surface, float bias = 1.0f);
    void screen_polygon(const ScreenPoint* points, int count, std::int32_t surface);
    void wall(const View& view, const WallVertex* corners, int count, std::int32_t surface, Pattern pattern,
              std::uint32_t seed);
    // A strip of constant screen width between two points, never thinner than about a pixel.
    void limb(const View& view, Vec3 camera_a, Vec3 camera_b, float width_a_m, float width_b_m, std::int32_t surface);
    // An upright ellipse facing the camera; surfaces surface..surface+3 run from its shaded to its sunlit side.
    // ragged 0 is a smooth outline, 1 leaves and gaps.
    void blob(const View& view, Vec3 camera, float half_width_m, float half_height_m, std::int32_t surface,
              float light_x, float light_y, float ragged, std::uint32_t seed);

    int size() const { return size_; }
    int stride() const { return stride_; }
    const float* depth_row(int row) const { return &inverse_depth_[static_cast<std::size_t>(row) * stride_]; }
    const std::int32_t* surface_row(int row) const { return &surface_[static_cast<std::size_t>(row) * stride_]; }
    const std::uint32_t* bases() const { return base_.data(); }
    const std::uint32_t* beams() const { return beam_.data(); }
    const std::uint32_t* ids() const { return id_.data(); }

private:
    struct Span {
        int row0, row1;
    };
    Span scan_edges(const ScreenPoint* points, int count, float area);

    int size_, stride_;
    std::vector<float> inverse_depth_, left_, right_;
    std::vector<std::int32_t> surface_;
    std::vector<std::uint32_t> base_, beam_, id_;
};

// Light packed as three 10-bit square roots of value / packed_max.
constexpr float packed_max = 4.0f;
std::uint32_t pack_light(Rgb light);

}  // namespace semore::driving
