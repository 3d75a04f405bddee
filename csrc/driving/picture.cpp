#include "instruction_sets.hpp"

#include "picture.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace semore::driving {
namespace {

constexpr int kSmallest_px = 16;
constexpr float kLeastFov_deg = 1, kLargestFov_deg = 170;
constexpr double kDegree = 0.017453292519943295;

void check(const char* name, double value, double low, double high) {
    if (value >= low && value <= high) return;  // false for NaN
    throw std::invalid_argument(std::string(name) + " must be in " + std::to_string(static_cast<int>(low)) + ".." +
                                std::to_string(static_cast<int>(high)) + ", is " + std::to_string(value));
}

PictureConfig checked(const PictureConfig& config) {
    check("width", config.width, kSmallest_px, largest_picture);
    check("height", config.height, kSmallest_px, largest_picture);
    check("fov_deg", config.fov_deg, kLeastFov_deg, kLargestFov_deg);
    const int most = std::min(4, 2 * largest_picture / std::max(config.width, config.height));
    check("supersample", config.supersample, 1, most);
    return config;
}

// The square's field of view is the picture's, but for pictures higher than wide.
float side_fov(const PictureConfig& config) {
    if (config.width >= config.height) return config.fov_deg;
    const double slope = std::tan(0.5 * kDegree * static_cast<double>(config.fov_deg));
    return static_cast<float>(2 * std::atan(slope * config.height / config.width) / kDegree);
}

// Pixels of four bytes, blue first.
SEMORE_CLONES
void interleave(const std::uint8_t* __restrict r, const std::uint8_t* __restrict g, const std::uint8_t* __restrict b,
                int count, std::uint8_t* __restrict out) {
    for (int i = 0; i < count; ++i) {
        out[4 * i] = b[i];
        out[4 * i + 1] = g[i];
        out[4 * i + 2] = r[i];
        out[4 * i + 3] = 255;
    }
}

}  // namespace

Picture::Picture(const PictureConfig& config)
    : config_(checked(config)),
      side_(std::max(config.width, config.height)),
      side_fov_deg_(side_fov(config)),
      camera_({side_, config.supersample}, largest_picture) {}

// Where a plane is drawn: in place when the picture is the whole square.
template <class T>
T* Picture::plane_for(std::vector<T>& scratch, T* out) {
    if (!out || square()) return out;
    scratch.resize(static_cast<std::size_t>(side_) * static_cast<std::size_t>(side_));
    return scratch.data();
}

template <class T>
void Picture::cut(const std::vector<T>& scratch, T* out) const {
    if (!out || square()) return;
    const std::ptrdiff_t row0 = (side_ - config_.height) / 2, column0 = (side_ - config_.width) / 2;
    for (std::ptrdiff_t row = 0; row < config_.height; ++row)
        std::copy_n(scratch.data() + (row0 + row) * side_ + column0, config_.width, out + row * config_.width);
}

void Picture::render(SceneView scene, const PictureOutputs& out) {
    scene.fov_deg = side_fov_deg_;
    const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(side_) * side_;
    Planes planes;
    if (out.bgra) {
        rgb_.resize(3 * static_cast<std::size_t>(plane));
        planes.rgb_chw = rgb_.data();
    }
    planes.class_ids = plane_for(class_ids_, out.class_ids);
    planes.instance_ids = plane_for(instance_ids_, out.instance_ids);
    planes.depth_m = plane_for(depth_m_, out.depth_m);
    camera_.render(scene, planes);
    cut(class_ids_, out.class_ids);
    cut(instance_ids_, out.instance_ids);
    cut(depth_m_, out.depth_m);
    if (!out.bgra) return;
    const std::ptrdiff_t row0 = (side_ - config_.height) / 2, column0 = (side_ - config_.width) / 2;
    for (std::ptrdiff_t row = 0; row < config_.height; ++row) {
        const std::uint8_t* red = rgb_.data() + (row0 + row) * side_ + column0;
        interleave(red, red + plane, red + 2 * plane, config_.width, out.bgra + 4 * row * config_.width);
    }
}

}  // namespace semore::driving
