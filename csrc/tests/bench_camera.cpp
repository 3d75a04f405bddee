// Microseconds of processor time a frame of the camera, by scenario and weather: build/bench_camera [image_size]
// [supersample]
//   g++ -std=c++17 -O3 -Icsrc csrc/tests/bench_camera.cpp csrc/driving/camera*.cpp -o build/bench_camera
#include "camera_scenes.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

using namespace semore::driving;

namespace {

struct Timing {
    double median_us, least_us;
};

Timing time_frames(Camera& camera, scenes::Scene scene, int size) {
    constexpr int rounds = 31, frames = 16;
    const auto pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    std::vector<std::uint8_t> rgb(3 * pixels), classes(pixels), instances(pixels);
    const float start_m = scene.view.camera_x_m;
    std::vector<double> us;
    for (int round = 0; round < rounds; ++round) {
        const std::clock_t begin = std::clock();
        for (int frame = 0; frame < frames; ++frame) {
            scene.view.camera_x_m = start_m + 0.5f * static_cast<float>(frame);
            camera.render(scene.bound(), {rgb.data(), classes.data(), instances.data()});
        }
        us.push_back(static_cast<double>(std::clock() - begin) * 1e6 / CLOCKS_PER_SEC / frames);
    }
    std::sort(us.begin(), us.end());
    return {us[rounds / 2], us.front()};
}

}  // namespace

int main(int argc, char** argv) {
    const int size = argc > 1 ? std::atoi(argv[1]) : 128, supersample = argc > 2 ? std::atoi(argv[2]) : 1;
    Camera camera({size, supersample});
    const char* weathers[] = {"day", "dusk", "midnight", "rain", "fog"};
    std::printf("%d px, supersample %d: us/frame with ids, median and least of 31 rounds\n", size, supersample);
    for (int w = 0; w < 5; ++w)
        for (const auto make : {scenes::jaywalk, scenes::highbeam, scenes::highway}) {
            const scenes::Scene scene = make(static_cast<Weather>(w));
            const Timing t = time_frames(camera, scene, size);
            std::printf("%-9s %-9s %8.1f %8.1f\n", scene.name.c_str(), weathers[w], t.median_us, t.least_us);
        }
}
