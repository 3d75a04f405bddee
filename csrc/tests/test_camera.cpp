// The camera against an independent projection, against itself in other sizes and orders, and against common sense.
#include "camera_scenes.hpp"
#include "check.hpp"

#include <cmath>
#include <cstdlib>
#include <functional>
#include <random>
#include <stdexcept>
#include <thread>

using namespace semore::driving;
using scenes::Scene;

namespace {

constexpr Weather weathers[] = {Weather::day, Weather::dusk, Weather::midnight, Weather::rain, Weather::fog};
constexpr auto makers = {scenes::jaywalk, scenes::highbeam, scenes::highway};

struct Image {
    int size;
    std::vector<std::uint8_t> rgb, classes, instances;
    bool operator==(const Image& o) const { return rgb == o.rgb && classes == o.classes && instances == o.instances; }
    std::size_t at(int x, int y) const { return static_cast<std::size_t>(y * size + x); }
};

Image render(Camera& camera, int size, Scene scene) {
    const auto n = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
    Image image{size, std::vector<std::uint8_t>(3 * n, 1), std::vector<std::uint8_t>(n, 1),
                std::vector<std::uint8_t>(n, 1)};
    camera.render(scene.bound(), {image.rgb.data(), image.classes.data(), image.instances.data()});
    return image;
}

Image render(int size, const Scene& scene, int supersample = 1) {
    Camera camera({size, supersample});
    return render(camera, size, scene);
}

// An independent pinhole projection, in double precision.
struct Pixel {
    double x, y, depth;
};

Pixel project_point(const SceneView& v, int size, double x, double y, double z) {
    const double cy = std::cos(v.camera_yaw_rad), sy = std::sin(v.camera_yaw_rad);
    const double dx = x - v.camera_x_m, dy = y - v.camera_y_m, dz = z - v.camera_z_m;
    const double ahead = dx * cy + dy * sy, left = dy * cy - dx * sy;
    const double focal = 0.5 * size / std::tan(v.fov_deg * 3.14159265358979 / 360);
    return {0.5 * size - focal * left / ahead, 0.5 * size - focal * dz / ahead, ahead};
}

struct Rect {
    double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
};

Rect project_box(const SceneView& v, int size, const ActorView& a, double pad_m) {
    Rect r;
    for (int i = 0; i < 8; ++i) {
        const double u = (i & 1 ? 1 : -1) * (0.5 * a.length_m + pad_m),
                     w = (i & 2 ? 1 : -1) * (0.5 * a.width_m + pad_m);
        const double c = std::cos(a.yaw_rad), s = std::sin(a.yaw_rad);
        const Pixel p = project_point(v, size, a.x_m + u * c - w * s, a.y_m + u * s + w * c,
                                      a.z_m + (i & 4 ? a.height_m * 1.05 : -0.03));
        CHECK(p.depth > 0);
        r.x0 = std::min(r.x0, p.x), r.x1 = std::max(r.x1, p.x), r.y0 = std::min(r.y0, p.y), r.y1 = std::max(r.y1, p.y);
    }
    return r;
}

bool class_fits(ActorKind kind, std::uint8_t id) {
    const auto is = [id](ClassId c) { return id == static_cast<std::uint8_t>(c); };
    if (kind == ActorKind::pedestrian) return is(ClassId::pedestrian);
    if (kind == ActorKind::cyclist) return is(ClassId::rider) || is(ClassId::bicycle);
    return is(kind == ActorKind::truck ? ClassId::truck : ClassId::car);
}

void config_errors_name_the_field() {
    const std::pair<CameraConfig, const char*> bad[] = {
        {{15, 1}, "image_size"}, {{513, 1}, "image_size"}, {{64, 0}, "supersample"}, {{64, 5}, "supersample"}};
    for (const auto& [config, field] : bad) {
        std::string told;
        try {
            Camera camera(config);
        } catch (const std::invalid_argument& error) {
            told = error.what();
        }
        CHECK(told.find(field) == 0);
    }
}

void ids_lie_inside_the_projected_boxes() {
    constexpr int size = 160;
    for (const auto make : makers) {
        const Scene scene = make(Weather::day);
        const Image image = render(size, scene);
        for (const ActorView& a : scene.actors) {
            const bool limbs = a.kind == ActorKind::pedestrian || a.kind == ActorKind::cyclist;
            const Rect box = project_box(scene.view, size, a, limbs ? 0.4 : 0.02);
            for (int y = 0; y < size; ++y)
                for (int x = 0; x < size; ++x) {
                    if (image.instances[image.at(x, y)] != a.instance_id) continue;
                    CHECK(x + 1.0 >= box.x0 - 0.5 && x <= box.x1 + 0.5 && y + 1.0 >= box.y0 - 0.5 && y <= box.y1 + 0.5);
                    CHECK(class_fits(a.kind, image.classes[image.at(x, y)]));
                }
        }
    }
}

void a_lone_actor_fills_its_place() {
    constexpr int size = 128;
    for (int kind = 0; kind < 6; ++kind)
        for (const float yaw : {0.0f, 1.5708f, 3.1416f, 0.7f})
            for (const float distance : {9.0f, 16.0f, 32.0f, 60.0f}) {
                Scene scene = scenes::base("alone", Weather::day, -2);
                ActorView a = scenes::actor(static_cast<ActorKind>(kind), 9, 40 + distance, -1.3f, yaw);
                scene.actors = {a};
                const Image image = render(size, scene);
                const double chest = kind >= 4 ? 0.68 : 0.4;
                const Pixel p = project_point(scene.view, size, a.x_m, a.y_m, chest * a.height_m);
                CHECK(image.instances[image.at(static_cast<int>(p.x), static_cast<int>(p.y))] == 9);
                const Rect box = project_box(scene.view, size, a, 0);
                int count = 0;
                for (const std::uint8_t id : image.instances) count += id == 9;
                const double area = std::max(box.x1 - box.x0, 1.0) * (box.y1 - box.y0);
                CHECK(count > 0.12 * area && count < 1.25 * area + 12);
            }
}

void nearer_hides_farther() {
    Scene scene = scenes::base("queue", Weather::day, -2);
    scene.actors = {scenes::actor(ActorKind::truck, 1, 52, -2, 0), scenes::actor(ActorKind::car, 2, 75, -2, 0)};
    for (int order = 0; order < 2; ++order) {
        const Image image = render(128, scene);
        for (const std::uint8_t id : image.instances) CHECK(id != 2);
        const Pixel p = project_point(scene.view, 128, 75, -2, 0.6);
        CHECK(image.instances[image.at(static_cast<int>(p.x), static_cast<int>(p.y))] == 1);
        std::swap(scene.actors[0], scene.actors[1]);
    }
}

void undrawn_is_as_if_absent() {
    for (const Weather weather : weathers)
        for (const auto make : makers) {
            Scene hidden = make(weather), absent = make(weather);
            for (std::size_t i = 0; i < hidden.actors.size(); i += 2) hidden.actors[i].drawn = false;
            std::vector<ActorView> kept;
            for (const ActorView& a : hidden.actors)
                if (a.drawn) kept.push_back(a);
            absent.actors = kept;
            CHECK(render(64, hidden) == render(64, absent));
            CHECK(!(render(64, hidden) == render(64, make(weather))));
        }
}

void same_scene_same_bytes() {
    const Scene scene = scenes::highbeam(Weather::midnight);
    const Image first = render(96, scene);
    Camera reused({96, 1});
    for (const Weather weather : weathers) render(reused, 96, scenes::highway(weather));
    CHECK(render(reused, 96, scene) == first);
    std::vector<Image> images(4);
    std::vector<std::thread> threads;
    for (Image& image : images) threads.emplace_back([&] { image = render(96, scene); });
    for (std::thread& t : threads) t.join();
    for (const Image& image : images) CHECK(image == first);
}

void supersampling_is_a_box_filter() {
    constexpr int size = 40;
    for (int factor = 2; factor <= 4; ++factor) {
        const Scene scene = scenes::highway(Weather::dusk);
        const Image small = render(size, scene, factor), large = render(size * factor, scene);
        const int area = factor * factor, centre = factor / 2;
        for (std::size_t i = 0; i < 3 * small.classes.size(); ++i) {
            const std::size_t plane = i / small.classes.size();
            const int pixel = static_cast<int>(i % small.classes.size()), x = pixel % size, y = pixel / size;
            const auto sub = [&](int dx, int dy) { return large.at(factor * x + dx, factor * y + dy); };
            int sum = area / 2;
            for (int k = 0; k < area; ++k) sum += large.rgb[plane * large.classes.size() + sub(k % factor, k / factor)];
            CHECK(small.rgb[i] == sum / area);
            CHECK(small.classes[i % small.classes.size()] == large.classes[sub(centre, centre)]);
            CHECK(small.instances[i % small.classes.size()] == large.instances[sub(centre, centre)]);
        }
    }
}

void ids_are_optional_and_bounds_are_kept() {
    for (const int size : {16, 17, 31, 101, 130}) {
        Scene scene = scenes::jaywalk(Weather::rain);
        const Image full = render(size, scene);
        const std::size_t n = full.classes.size();
        std::vector<std::uint8_t> rgb(3 * n + 64, 0xA5), classes(n + 64, 0xA5);
        Camera camera({size, 1});
        camera.render(scene.bound(), {rgb.data(), classes.data(), nullptr});
        CHECK(std::equal(full.rgb.begin(), full.rgb.end(), rgb.begin()));
        CHECK(std::equal(full.classes.begin(), full.classes.end(), classes.begin()));
        for (std::size_t i = 0; i < 64; ++i) CHECK(rgb[3 * n + i] == 0xA5 && classes[n + i] == 0xA5);
        camera.render(scene.bound(), {rgb.data(), nullptr, nullptr});
        CHECK(std::equal(full.rgb.begin(), full.rgb.end(), rgb.begin()));
    }
}

double mean(const Image& image) {
    double sum = 0;
    for (const std::uint8_t v : image.rgb) sum += v;
    return sum / static_cast<double>(image.rgb.size());
}

double mean_difference(const Image& a, const Image& b, const std::function<bool(std::size_t)>& where) {
    const std::size_t n = a.classes.size();
    double sum = 0;
    int count = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (!where(i)) continue;
        for (std::size_t c = 0; c < 3; ++c) sum += std::abs(a.rgb[c * n + i] - b.rgb[c * n + i]);
        count += 3;
    }
    CHECK(count > 0);
    return sum / count;
}

void weathers_differ_as_they_should() {
    for (const auto make : makers) {
        std::vector<Image> images;
        for (const Weather weather : weathers) images.push_back(render(64, make(weather)));
        for (std::size_t i = 0; i < images.size(); ++i)
            for (std::size_t j = 0; j < i; ++j)
                CHECK(mean_difference(images[i], images[j], [](std::size_t) { return true; }) > 8);
        CHECK(mean(images[0]) > mean(images[1]) && mean(images[1]) > 1.5 * mean(images[2]));
        CHECK(mean(images[0]) > 90 && mean(images[0]) < 190);
        CHECK(mean(images[2]) > 8 && mean(images[2]) < 70);
        CHECK(images[0].classes == images[4].classes && images[0].instances == images[2].instances);
    }
}

// How far a person or cyclist stands out: the change of its pixels when it is taken away.
double contrast(Scene scene, std::uint8_t id, int size, int supersample) {
    const Image with = render(size, scene, supersample);
    for (ActorView& a : scene.actors) a.drawn = a.drawn && a.instance_id != id;
    const Image without = render(size, scene, supersample);
    return mean_difference(with, without, [&](std::size_t i) { return with.instances[i] == id; });
}

void people_stand_out() {
    for (const Weather weather : weathers)
        for (int id = 1; id <= 7; ++id) {
            Scene scene = scenes::base("walker", weather, -2);
            ActorView walker = scenes::actor(ActorKind::pedestrian, id, 52, -2.2f, 1.5708f);
            walker.speed_mps = 2;
            scene.actors = {walker};
            const double least = weather == Weather::day ? 22 : weather == Weather::dusk ? 18 : 14;
            CHECK(contrast(scene, static_cast<std::uint8_t>(id), 64, 2) > least);
        }
}

void high_beams_dazzle() {
    const Scene dazzled = scenes::highbeam(Weather::midnight);
    Scene dark = dazzled;
    for (ActorView& a : dark.actors) a.lights = lights_none;
    CHECK(mean(render(128, dazzled)) > 1.08 * mean(render(128, dark)));
    Scene low = dazzled;
    for (ActorView& a : low.actors)
        if (a.lights & lights_high_beam) a.lights = lights_low_beam;
    CHECK(mean(render(128, dazzled)) > mean(render(128, low)));
    Scene day = scenes::highbeam(Weather::day), day_dark = day;
    for (ActorView& a : day_dark.actors) a.lights = lights_none;
    CHECK(mean(render(128, day)) < 1.03 * mean(render(128, day_dark)));
}

// FNV-1a over every scene in every weather. The same on every machine, instruction set and optimisation level, so it is
// written down; when the picture is meant to change, put the new value here.
void bytes_are_those_of_every_other_machine() {
    constexpr std::uint64_t expected = 0x5E72780564C91E4Bu;
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (const Weather weather : weathers)
        for (const auto make : makers) {
            const Image image = render(72, make(weather));
            for (const auto* bytes : {&image.rgb, &image.classes, &image.instances})
                for (const std::uint8_t byte : *bytes) hash = (hash ^ byte) * 0x100000001B3u;
        }
    if (hash != expected) std::fprintf(stderr, "frames hash to 0x%016llX\n", static_cast<unsigned long long>(hash));
    CHECK(hash == expected);
}

// Cameras anywhere, turned anywhere, among actors in any pose: nothing breaks, and ids stay within the scene's.
void odd_places_are_survived() {
    std::mt19937 random(5);
    const auto uniform = [&](float low, float high) {
        return std::uniform_real_distribution<float>(low, high)(random);
    };
    Camera camera({48, 1});
    for (int round = 0; round < 150; ++round) {
        Scene scene = (round & 1 ? scenes::highway : scenes::jaywalk)(weathers[round % 5]);
        scene.view.camera_x_m = uniform(-3000, 3000), scene.view.camera_y_m = uniform(-12, 12);
        scene.view.camera_z_m = uniform(0.3f, 3), scene.view.camera_yaw_rad = uniform(-7, 7),
        scene.view.camera_pitch_rad = uniform(-0.3f, 0.3f);
        scene.view.road.lanes_oncoming = round % 3, scene.view.time_s = uniform(0, 100);
        scene.view.ego_lights = static_cast<std::uint8_t>(round & 15);
        for (ActorView& a : scene.actors) {
            a.x_m = scene.view.camera_x_m + uniform(-6, 30), a.y_m = scene.view.camera_y_m + uniform(-6, 6);
            a.yaw_rad = uniform(-7, 7), a.pitch_rad = uniform(0, 1.6f), a.z_m = uniform(0, 1),
            a.phase_rad = uniform(-50, 50);
            a.speed_mps = uniform(-2, 12), a.lights = static_cast<std::uint8_t>(random() & 31),
            a.style = static_cast<std::uint8_t>(random());
        }
        const Image image = render(camera, 48, scene);
        for (const std::uint8_t id : image.instances) CHECK(id <= scene.actors.size());
    }
}

}  // namespace

int main() {
    config_errors_name_the_field();
    ids_lie_inside_the_projected_boxes();
    a_lone_actor_fills_its_place();
    nearer_hides_farther();
    undrawn_is_as_if_absent();
    same_scene_same_bytes();
    supersampling_is_a_box_filter();
    ids_are_optional_and_bounds_are_kept();
    weathers_differ_as_they_should();
    people_stand_out();
    high_beams_dazzle();
    odd_places_are_survived();
    bytes_are_those_of_every_other_machine();
    std::puts("test_camera: ok");
}
