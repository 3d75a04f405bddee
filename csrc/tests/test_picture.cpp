// Depth, and pictures that are not square.
#include "camera_scenes.hpp"
#include "check.hpp"
#include "driving/picture.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace semore::driving {
namespace {

struct Drawn {
    explicit Drawn(const PictureConfig& config)
        : width(config.width), bgra(4 * pixels(config)), classes(pixels(config)), instances(pixels(config)),
          depth(pixels(config)) {}

    static std::size_t pixels(const PictureConfig& c) { return static_cast<std::size_t>(c.width * c.height); }
    PictureOutputs all() { return {bgra.data(), classes.data(), instances.data(), depth.data()}; }
    std::size_t at(int row, int column) const { return static_cast<std::size_t>(row * width + column); }

    int width;
    std::vector<std::uint8_t> bgra, classes, instances;
    std::vector<float> depth;
};

Drawn draw(const PictureConfig& config, scenes::Scene& scene) {
    Drawn drawn(config);
    Picture(config).render(scene.bound(), drawn.all());
    return drawn;
}

// On the open ground, depth along the axis is the eye's height over the ray's fall.
void test_ground_depth() {
    scenes::Scene scene = scenes::jaywalk(Weather::day);
    scene.actors.clear();
    for (const float pitch : {0.0f, -0.3f}) {
        scene.view.camera_pitch_rad = pitch;
        const PictureConfig config{96, 96, 60, 1};
        const Drawn drawn = draw(config, scene);
        const double focal = 48 / std::tan(3.14159265358979 / 6);
        int seen = 0;
        for (int row = 0; row < 96; ++row)
            for (int column = 0; column < 96; ++column) {
                const std::size_t i = drawn.at(row, column);
                if (drawn.classes[i] != static_cast<int>(ClassId::road)) continue;
                const double slope = (48 - row - 0.5) / focal;
                const double falls = -(std::sin(pitch) + slope * std::cos(pitch));
                const double expected = std::min(1.5 / falls, 1000.0);
                CHECK(std::abs(drawn.depth[i] / expected - 1) < 2e-3);
                ++seen;
            }
        CHECK(seen > 1000);
    }
}

// The back of a van 20 m ahead: half a length nearer than its centre, up to what its layers of paint add.
void test_wall_depth_and_sky() {
    scenes::Scene scene = scenes::jaywalk(Weather::day);
    scene.actors = {scenes::actor(ActorKind::van, 7, 60, -2, 0)};
    const Drawn drawn = draw({128, 128, 60, 1}, scene);
    const float expected = 20 - 0.5f * scene.actors[0].length_m;
    int van = 0, sky = 0;
    for (std::size_t i = 0; i < drawn.depth.size(); ++i) {
        CHECK(drawn.depth[i] > 0 && drawn.depth[i] <= sky_depth_m);
        CHECK((drawn.classes[i] == static_cast<int>(ClassId::sky)) <= (drawn.depth[i] == sky_depth_m));
        sky += drawn.depth[i] == sky_depth_m;
        if (drawn.instances[i] != 7) continue;
        ++van;
        CHECK(drawn.depth[i] > expected * 0.985f && drawn.depth[i] < expected + scene.actors[0].length_m);
    }
    CHECK(van > 100 && sky > 1000);
    CHECK(std::abs(drawn.depth[drawn.at(64, 64)] - expected) < 0.25f);
}

// Every layout holds the pixels of the same square image.
void test_crops_agree_with_the_square() {
    scenes::Scene scene = scenes::highway(Weather::midnight);
    for (const int supersample : {1, 2}) {
        const Drawn square = draw({96, 96, 90, supersample}, scene);
        const Drawn wide = draw({96, 54, 90, supersample}, scene);
        const std::size_t skipped = 21 * 96;
        CHECK(std::equal(wide.depth.begin(), wide.depth.end(), square.depth.begin() + skipped));
        CHECK(std::equal(wide.classes.begin(), wide.classes.end(), square.classes.begin() + skipped));
        CHECK(std::equal(wide.instances.begin(), wide.instances.end(), square.instances.begin() + skipped));
        CHECK(std::equal(wide.bgra.begin(), wide.bgra.end(), square.bgra.begin() + 4 * skipped));
        std::vector<std::uint8_t> rgb(3 * 96 * 96);
        scene.view.fov_deg = 90;
        Camera({96, supersample}).render(scene.bound(), {rgb.data()});
        for (std::size_t i = 0; i < 96 * 96; ++i)
            for (std::size_t c = 0; c < 3; ++c) CHECK(square.bgra[4 * i + 2 - c] == rgb[c * 96 * 96 + i]);
    }
}

// A picture higher than wide keeps its horizontal field of view.
void test_high_pictures() {
    scenes::Scene scene = scenes::jaywalk(Weather::fog);
    const Drawn high = draw({48, 96, 60, 1}, scene), square = draw({48, 48, 60, 1}, scene);
    int differing = 0;
    for (int row = 0; row < 48; ++row)
        for (int column = 0; column < 48; ++column)
            differing += high.classes[high.at(row + 24, column)] != square.classes[square.at(row, column)];
    CHECK(differing < 48 * 48 / 50);
}

// What is left out changes nothing in what is drawn.
void test_planes_do_not_depend_on_one_another() {
    scenes::Scene scene = scenes::highbeam(Weather::rain);
    for (const int supersample : {1, 3}) {
        const PictureConfig config{80, 40, 75, supersample};
        const Drawn all = draw(config, scene);
        Drawn alone(config);
        Picture picture(config);
        picture.render(scene.bound(), {nullptr, nullptr, nullptr, alone.depth.data()});
        picture.render(scene.bound(), {nullptr, alone.classes.data(), nullptr, nullptr});
        picture.render(scene.bound(), {nullptr, nullptr, alone.instances.data(), nullptr});
        picture.render(scene.bound(), {alone.bgra.data(), nullptr, nullptr, nullptr});
        CHECK(all.depth == alone.depth && all.classes == alone.classes);
        CHECK(all.instances == alone.instances && all.bgra == alone.bgra);
    }
}

void test_large_pictures() {
    scenes::Scene scene = scenes::highway(Weather::rain);
    for (const PictureConfig& config : {PictureConfig{800, 600, 90, 1}, PictureConfig{1024, 1024, 60, 2},
                                        PictureConfig{2048, 16, 170, 1}, PictureConfig{16, 1025, 30, 1}}) {
        const Drawn drawn = draw(config, scene);
        CHECK(std::all_of(drawn.depth.begin(), drawn.depth.end(), [](float d) { return d > 0 && d <= sky_depth_m; }));
        CHECK(drawn.bgra.back() == 255);
    }
}

}  // namespace
}  // namespace semore::driving

int main() {
    using namespace semore::driving;
    test_ground_depth();
    test_wall_depth_and_sky();
    test_crops_agree_with_the_square();
    test_high_pictures();
    test_planes_do_not_depend_on_one_another();
    test_large_pictures();
    std::puts("picture: all passed");
}
