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
    explicit Impl(const CameraConfig& c)
        : image_size(checked("image_size", c.image_size, 16, 512)),
          supersample(checked("supersample", c.supersample, 1, 4)),
          raster(image_size * supersample),
          pixels(raster.stride()) {
        if (supersample > 1)
            large.resize(3 * static_cast<std::size_t>(raster.size()) * static_cast<std::size_t>(raster.size()));
    }

    void paint(const SceneView& scene, const View& view, const Lighting& lighting, const EgoBeam& beam);
    void hide_covered_glare(const Frame& frame);
    void shade(const RowScene& rows, std::uint8_t* rgb, std::uint8_t* class_ids, std::uint8_t* instance_ids);

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

void Camera::Impl::shade(const RowScene& rows, std::uint8_t* rgb, std::uint8_t* class_ids, std::uint8_t* instance_ids) {
    const int size = raster.size();
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(size) * size;
    for (int row = 0; row < size; ++row) {
        if (ground_begins(rows.view, row))
            shade_ground(rows, row, pixels);
        else
            shade_sky(rows, row, pixels);
        apply_decals(rows, row, decals, pixels);
        apply_surfaces(raster, row, pixels);
        apply_beam(rows, row, pixels);
        apply_fog(rows.lighting, pixels);
        apply_glare(glares, row, pixels);
        apply_rain(streaks, row, pixels);
        std::uint8_t* out = rgb + static_cast<std::ptrdiff_t>(row) * size;
        apply_tone(pixels, size, out, out + plane, out + 2 * plane);
        if (row % supersample != supersample / 2) continue;
        const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(row / supersample) * image_size;
        if (class_ids) store_ids(pixels, supersample, image_size, 8, class_ids + offset);
        if (instance_ids) store_ids(pixels, supersample, image_size, 0, instance_ids + offset);
    }
}

Camera::Camera(const CameraConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Camera::~Camera() = default;
Camera::Camera(Camera&&) noexcept = default;
Camera& Camera::operator=(Camera&&) noexcept = default;

void Camera::render(const SceneView& scene, std::uint8_t* rgb_chw, std::uint8_t* class_ids,
                    std::uint8_t* instance_ids) {
    Impl& impl = *impl_;
    const View view = make_view(scene, impl.raster.size());
    const Lighting& lighting = lighting_of(scene.weather);
    const EgoBeam beam = ego_beam(scene, lighting);
    impl.paint(scene, view, lighting, beam);
    place_rain(scene, view, lighting, impl.streaks);
    const RowScene rows(scene, view, lighting, beam);
    const bool supersampled = impl.supersample > 1;
    impl.shade(rows, supersampled ? impl.large.data() : rgb_chw, class_ids, instance_ids);
    if (!supersampled) return;
    const std::ptrdiff_t in_plane = static_cast<std::ptrdiff_t>(view.size) * view.size;
    const std::ptrdiff_t out_plane = static_cast<std::ptrdiff_t>(impl.image_size) * impl.image_size;
    for (int c = 0; c < 3; ++c)
        shrink(impl.large.data() + c * in_plane, impl.image_size, impl.supersample, rgb_chw + c * out_plane);
}

}  // namespace semore::driving
