// The driver's camera: RGB, class ids and instance ids of a SceneView, rasterised on the CPU.
#pragma once

#include "scene.hpp"

#include <cstdint>
#include <memory>

namespace semore::driving {

struct CameraConfig {
    int image_size = 128;  // width and height of the square image, 16..512
    int supersample = 1;   // 1..4: RGB is rendered supersample times larger and box-filtered
};

// One camera serves one thread: it owns its scratch buffers. Output depends on the scene alone, never on what was
// rendered before, so any number of cameras on any number of threads give the same bytes.
class Camera {
public:
    explicit Camera(const CameraConfig& config);  // throws std::invalid_argument naming the field
    ~Camera();
    Camera(Camera&&) noexcept;
    Camera& operator=(Camera&&) noexcept;
    Camera(const Camera&) = delete;
    Camera& operator=(const Camera&) = delete;

    // rgb_chw: uint8 [3, image_size, image_size]. class_ids (ClassId values) and instance_ids (ActorView::instance_id,
    // 0 where there is no actor): uint8 [image_size, image_size], or nullptr; each holds the id at the sub-sample
    // nearest the pixel's centre (below and right of it when supersample is even).
    void render(const SceneView& scene, std::uint8_t* rgb_chw, std::uint8_t* class_ids, std::uint8_t* instance_ids);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace semore::driving
