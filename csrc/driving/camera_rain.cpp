#include "camera_rain.hpp"

namespace semore::driving {

namespace {

constexpr int streak_count = 90;
constexpr double ticks_per_s = 20.0;

}  // namespace

void place_rain(const SceneView& scene, const View& view, const Lighting& lighting, std::vector<RainStreak>& out) {
    out.clear();
    if (lighting.rain <= 0) return;
    const auto tick =
        static_cast<std::int32_t>(static_cast<std::int64_t>(scene.time_s * ticks_per_s + 0.5) & 0x7fffffff);
    HashStream random(scene.scenery_seed, tick, 77u);
    const float size = static_cast<float>(view.size);
    for (int i = 0; i < streak_count; ++i) {
        const float near = random.uniform(0.25f, 1.0f);
        const float length = size * 0.07f * near, top = random.uniform(-0.1f, 1.0f) * size;
        const float x = random.uniform(0.0f, 1.0f) * size;
        const int row0 = static_cast<int>(floor_of(top)), row1 = static_cast<int>(floor_of(top + length)) + 1;
        out.push_back(
            {x, random.uniform(-0.12f, -0.04f), row0 < 0 ? 0 : row0, row1, lighting.horizon * (0.22f * near)});
    }
}

void apply_rain(const std::vector<RainStreak>& streaks, int row, PixelRow& out) {
    for (const RainStreak& s : streaks) {
        if (row < s.row0 || row >= s.row1) continue;
        const float x = s.x + s.slant * static_cast<float>(row - s.row0);
        if (x < 0 || x >= static_cast<float>(out.size)) continue;
        const auto i = static_cast<std::size_t>(x);
        out.r[i] += s.light.r, out.g[i] += s.light.g, out.b[i] += s.light.b;
    }
}

}  // namespace semore::driving
