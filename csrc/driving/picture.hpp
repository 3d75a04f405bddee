// Pictures of any width and height in the layout of CARLA's cameras, cut from the camera's square image.
#pragma once

#include "camera.hpp"

#include <cstdint>
#include <vector>

namespace semore::driving {

struct PictureConfig {
    int width = 800, height = 600;  // 16..largest_picture
    float fov_deg = 90.0f;          // horizontal, 1..170
    int supersample = 1;            // 1..4; times the larger side at most 2 * largest_picture
};

// Caller-owned; a null pointer leaves that output out.
struct PictureOutputs {
    std::uint8_t* bgra = nullptr;          // [height, width, 4], alpha 255
    std::uint8_t* class_ids = nullptr;     // [height, width]
    std::uint8_t* instance_ids = nullptr;  // [height, width]
    float* depth_m = nullptr;              // [height, width]
};

// The optical axis goes through the picture's centre, or half a pixel beside it where width and height differ by an
// odd number.
class Picture {
 public:
    explicit Picture(const PictureConfig& config);  // throws std::invalid_argument naming the field

    const PictureConfig& config() const { return config_; }
    // Sets the scene's field of view itself.
    void render(SceneView scene, const PictureOutputs& out);

 private:
    bool square() const { return config_.width == config_.height; }
    template <class T>
    T* plane_for(std::vector<T>& scratch, T* out);
    template <class T>
    void cut(const std::vector<T>& scratch, T* out) const;

    PictureConfig config_;
    int side_;
    float side_fov_deg_;
    Camera camera_;
    std::vector<std::uint8_t> rgb_, class_ids_, instance_ids_;
    std::vector<float> depth_m_;
};

}  // namespace semore::driving
