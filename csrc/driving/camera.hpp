// The driver's camera: RGB, class ids and instance ids of a SceneView, rasterised on the CPU.
#pragma once

#include "scene.hpp"

#include <cstdint>
#include <memory>

namespace semore::driving {

struct CameraConfig {
    int image_size = 128;  // width and height of the square image, 16..largest_image
    int supersample = 1;   // 1..4: RGB is rendered supersample times larger and box-filtered
};

// What the embedded simulator takes, and what memory and 32-bit pixel indices allow any camera.
constexpr int largest_image = 512, largest_picture = 2048;
constexpr float sky_depth_m = 1000.0f;

// What a frame is drawn into; a null pointer leaves that output out, and what is needed for it alone. Ids and depth are
// those of the sub-sample nearest the pixel's centre (below and right of it when supersample is even).
struct Planes {
    std::uint8_t* rgb_chw = nullptr;       // [3, image_size, image_size]
    std::uint8_t* class_ids = nullptr;     // [image_size, image_size], ClassId values
    std::uint8_t* instance_ids = nullptr;  // [image_size, image_size], ActorView::instance_id, 0 where there is no actor
    float* depth_m = nullptr;              // [image_size, image_size], along the optical axis, at most sky_depth_m
};

// One camera serves one thread: it owns its scratch buffers. Output depends on the scene alone, never on what was
// rendered before, so any number of cameras on any number of threads give the same bytes.
class Camera {
public:
    // Throws std::invalid_argument naming the field.
    explicit Camera(const CameraConfig& config, int largest = largest_image);
    ~Camera();
    Camera(Camera&&) noexcept;
    Camera& operator=(Camera&&) noexcept;
    Camera(const Camera&) = delete;
    Camera& operator=(const Camera&) = delete;

    void render(const SceneView& scene, const Planes& out);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace semore::driving
