#include "camera.hpp"

#include "camera_frame.hpp"
#include "camera_ground.hpp"
#include "camera_rain.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace semore::driving {

namespace {

int checked(const char* name, int value, int low, int high) {
    if (value < low || value > high)
        throw std::invalid_argument(std::string(name) + " must be in " + std::to_string(low) + ".." +
                                    std::to_string(high) + ", got " + std::to_string(value));
    return value;
}

}  // namespace

struct Camera::Impl {
    Impl(const CameraConfig& c, int largest)
        : image_size(checked("image_size", c.image_size, 16, largest)),
          supersample(checked("supersample", c.supersample, 1, 4)),
          raster(image_size * supersample),
          pixels(raster.stride()) {
        if (supersample > 1)
            large.resize(3 * static_cast<std::size_t>(raster.size()) * static_cast<std::size_t>(raster.size()));
    }

    void paint(const SceneView& scene, const View& view, const Lighting& lighting, const EgoBeam& beam);
    void hide_covered_glare(const Frame& frame);
    void shade(const RowScene& rows, const Planes& out);
    void light(const RowScene& rows, int row, std::uint8_t* rgb);
    void store(int row, const Planes& out) const;

    int image_size, supersample;
    Raster raster;
    PixelRow pixels;
    std::vector<Lamp> lamps;
    std::vector<GroundDecal> decals;
    std::vector<Glare> glares;
    std::vector<RainStreak> streaks;
    std::vector<std::uint8_t> large;
};

void Camera::Impl::paint(const SceneView& scene, const View& view, const Lighting& lighting, const EgoBeam& beam) {
    raster.begin();
    lamps.clear();
    decals.clear();
    glares.clear();
    const Frame frame{scene, view, lighting, beam, raster, lamps, decals, glares};
    add_street_lamps(frame);
    for (int i = 0; i < scene.actor_count; ++i)
        if (scene.actors[i].drawn) add_actor_lamps(frame, scene.actors[i], i);
    for (int i = 0; i < scene.actor_count; ++i)
        if (scene.actors[i].drawn) paint_actor(frame, scene.actors[i], i);
    paint_scenery(frame);
    hide_covered_glare(frame);
}

// A lamp behind a solid thing does not dazzle.
void Camera::Impl::hide_covered_glare(const Frame& frame) {
    const auto covered = [&](const Glare& g) {
        const int x = static_cast<int>(floor_of(g.x)), y = static_cast<int>(floor_of(g.y));
        if (x < 0 || y < 0 || x >= raster.size() || y >= raster.size()) return false;
        return raster.depth_row(y)[x] * (g.depth_m - 0.6f) > 1.0f;
    };
    frame.glares.erase(std::remove_if(frame.glares.begin(), frame.glares.end(), covered), frame.glares.end());
}

// From surfaces to the colours of a display.
void Camera::Impl::light(const RowScene& rows, int row, std::uint8_t* rgb) {
    const int size = raster.size();
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
    apply_beam(rows, row, pixels);
    apply_fog(rows.lighting, pixels);
    apply_glare(glares, row, pixels);
    apply_rain(streaks, row, pixels);
    std::uint8_t* out = rgb + static_cast<std::ptrdiff_t>(row) * size;
    apply_tone(pixels, size, out, out + plane, out + 2 * plane);
}

void Camera::Impl::store(int row, const Planes& out) const {
    if (row % supersample != supersample / 2) return;
    const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(row / supersample) * image_size;
    if (out.class_ids) store_ids(pixels, supersample, image_size, 8, out.class_ids + offset);
    if (out.instance_ids) store_ids(pixels, supersample, image_size, 0, out.instance_ids + offset);
    if (out.depth_m) store_depth(pixels, supersample, image_size, out.depth_m + offset);
}

void Camera::Impl::shade(const RowScene& rows, const Planes& out) {
    for (int row = 0; row < raster.size(); ++row) {
        if (ground_begins(rows.view, row))
            shade_ground(rows, row, pixels);
        else
            shade_sky(rows, row, pixels);
        if (out.rgb_chw) apply_decals(rows, row, decals, pixels);
        apply_surfaces(raster, row, pixels);
        if (out.rgb_chw) light(rows, row, out.rgb_chw);
        store(row, out);
    }
}

Camera::Camera(const CameraConfig& config, int largest) : impl_(std::make_unique<Impl>(config, largest)) {}
Camera::~Camera() = default;
Camera::Camera(Camera&&) noexcept = default;
Camera& Camera::operator=(Camera&&) noexcept = default;

void Camera::render(const SceneView& scene, const Planes& out) {
    Impl& impl = *impl_;
    const View view = make_view(scene, impl.raster.size());
    const Lighting& lighting = lighting_of(scene.weather);
    const EgoBeam beam = ego_beam(scene, lighting);
    impl.paint(scene, view, lighting, beam);
    place_rain(scene, view, lighting, impl.streaks);
    const RowScene rows(scene, view, lighting, beam);
    const bool shrinks = impl.supersample > 1 && out.rgb_chw;
    Planes drawn = out;
    if (shrinks) drawn.rgb_chw = impl.large.data();
    impl.shade(rows, drawn);
    if (!shrinks) return;
    const std::ptrdiff_t in_plane = static_cast<std::ptrdiff_t>(view.size) * view.size;
    const std::ptrdiff_t out_plane = static_cast<std::ptrdiff_t>(impl.image_size) * impl.image_size;
    for (int c = 0; c < 3; ++c)
        shrink(impl.large.data() + c * in_plane, impl.image_size, impl.supersample, out.rgb_chw + c * out_plane);
}

}  // namespace semore::driving
