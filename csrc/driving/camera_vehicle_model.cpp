#include "camera_vehicle_model.hpp"

#include <initializer_list>

namespace semore::driving {

namespace {

struct Point {  // of a side profile
    float x, z;
};

class Builder {
public:
    explicit Builder(bool is_fine) : fine(is_fine) {}

    bool fine;
    std::vector<Panel> panels;

    void add(std::initializer_list<Vec3> corners, Part part, int layer = 0) {
        Panel panel{};
        for (const Vec3& c : corners) panel.corners[panel.count++] = c;
        panel.part = part, panel.layer = layer;
        panel.normal = cross(panel.corners[1] - panel.corners[0], panel.corners[2] - panel.corners[0]);
        panels.push_back(panel);
    }

    // Side profile, anticlockwise with the front to the right, extruded over the width y -half..half.
    void extrude(const std::vector<Point>& profile, float half, Part part) {
        Panel left{}, right{};
        const int n = static_cast<int>(profile.size());
        left.count = right.count = n, left.part = right.part = part;
        for (int i = 0; i < n; ++i) {
            const Point p = profile[static_cast<std::size_t>(i)], q = profile[static_cast<std::size_t>((i + 1) % n)];
            right.corners[i] = {p.x, -half, p.z};
            left.corners[n - 1 - i] = {p.x, half, p.z};
            const bool underside = q.x > p.x && p.z == q.z;  // nobody looks at it
            if (!underside) add({{p.x, -half, p.z}, {p.x, half, p.z}, {q.x, half, q.z}, {q.x, -half, q.z}}, part);
        }
        right.normal = {0, -1, 0}, left.normal = {0, 1, 0};
        panels.push_back(left);
        panels.push_back(right);
    }

    // Four walls and a top over a rectangle, drawn in towards the top; glass on the walls where asked.
    struct Cabin {
        float rear, front, top_rear, top_front, bottom, top, half_bottom, half_top;
        float glass_low, glass_high;  // shares of the height
        bool rear_glass;
    };

    void cabin(const Cabin& c, Part shell, bool glazed = true) {
        const Vec3 low[4] = {{c.rear, -c.half_bottom, c.bottom},
                             {c.front, -c.half_bottom, c.bottom},
                             {c.front, c.half_bottom, c.bottom},
                             {c.rear, c.half_bottom, c.bottom}};
        const Vec3 high[4] = {{c.top_rear, -c.half_top, c.top},
                              {c.top_front, -c.half_top, c.top},
                              {c.top_front, c.half_top, c.top},
                              {c.top_rear, c.half_top, c.top}};
        for (int i = 0; i < 4; ++i) {
            const int j = (i + 1) % 4;
            add({low[i], low[j], high[j], high[i]}, shell);
            if (!glazed || (i == 3 && !c.rear_glass)) continue;
            const float inset = i == 1 || i == 3 ? 0.07f : 0.06f;
            const auto at = [&](float along, float up) {
                const Vec3 a = low[i] + (low[j] - low[i]) * along, b = high[i] + (high[j] - high[i]) * along;
                return a + (b - a) * up;
            };
            if (i == 1 || i == 3 || !fine) {
                add({at(inset, c.glass_low), at(1 - inset, c.glass_low), at(1 - inset, c.glass_high),
                     at(inset, c.glass_high)},
                    Part::glass, 1);
            } else {  // two side windows with a pillar between them
                add({at(inset, c.glass_low), at(0.47f, c.glass_low), at(0.47f, c.glass_high), at(inset, c.glass_high)},
                    Part::glass, 1);
                add({at(0.53f, c.glass_low), at(1 - inset, c.glass_low), at(1 - inset, c.glass_high),
                     at(0.53f, c.glass_high)},
                    Part::glass, 1);
            }
        }
        add({high[0], high[1], high[2], high[3]}, Part::roof);
    }

    void box(Vec3 low, Vec3 high, Part part) {
        cabin({low.x, high.x, low.x, high.x, low.z, high.z, high.y, high.y, 0, 0, false}, part, false);
    }

    // A rectangle on the rear (x < 0) or front of the shell, mirrored to both sides unless it crosses the middle.
    void badge(float x, float y0, float y1, float z0, float z1, Part part, int layer = 1) {
        const auto one = [&](float a, float b) {
            if (x < 0)
                add({{x, b, z0}, {x, a, z0}, {x, a, z1}, {x, b, z1}}, part, layer);
            else
                add({{x, a, z0}, {x, b, z0}, {x, b, z1}, {x, a, z1}}, part, layer);
        };
        one(y0, y1);
        if (y0 > 0) one(-y1, -y0);
    }

    void side_strip(float x0, float x1, float z0, float z1, Part part, int layer = 1) {
        add({{x0, -0.5f, z0}, {x1, -0.5f, z0}, {x1, -0.5f, z1}, {x0, -0.5f, z1}}, part, layer);
        add({{x1, 0.5f, z0}, {x0, 0.5f, z0}, {x0, 0.5f, z1}, {x1, 0.5f, z1}}, part, layer);
    }

    void disc(float x, float y, float rx, float rz, float centre_z, Part part, int layer) {
        constexpr float c[10] = {1, 0.809f, 0.309f, -0.309f, -0.809f, -1, -0.809f, -0.309f, 0.309f, 0.809f};
        constexpr float s[10] = {0, 0.588f, 0.951f, 0.951f, 0.588f, 0, -0.588f, -0.951f, -0.951f, -0.588f};
        Panel panel{};
        panel.count = 10, panel.part = part, panel.layer = layer;
        for (int i = 0; i < 10; ++i) {
            const int k = y < 0 ? i : 9 - i;
            panel.corners[i] = {x + rx * c[k], y, centre_z + rz * s[k]};
        }
        panel.normal = {0, y < 0 ? -1.0f : 1.0f, 0};
        panels.push_back(panel);
    }

    // Tyres, hubs and the dark arches around them on both sides, and the treads seen from ahead and behind.
    void axle(float x, float rx, float rz) {
        for (const float y : {-0.5f, 0.5f}) {
            if (!fine) break;
            disc(x, y, rx * 1.16f, rz * 1.16f, rz, Part::trim, 1);
            disc(x, y, rx, rz, rz, Part::tyre, 2);
            disc(x, y, rx * 0.6f, rz * 0.6f, rz, Part::hub, 3);
        }
        if (!fine) side_strip(x - rx, x + rx, 0, rz * 2, Part::tyre, 2);
        badge(x < 0 ? x - rx : x + rx, 0.35f, 0.5f, 0, rz, Part::tyre, 0);
    }
};

VehicleModel make_car(bool police) {
    const auto build = [police](bool fine) {
        Builder b(fine);
        const std::vector<Point> coarse_shell{
            {-0.495f, 0.17f}, {0.5f, 0.17f}, {0.48f, 0.48f}, {0.22f, 0.60f}, {-0.495f, 0.61f}};
        const std::vector<Point> shell{{-0.49f, 0.17f}, {0.49f, 0.17f},  {0.50f, 0.40f}, {0.47f, 0.50f},
                                       {0.22f, 0.60f},  {-0.40f, 0.63f}, {-0.50f, 0.58f}};
        b.extrude(fine ? shell : coarse_shell, 0.5f, Part::body);
        b.cabin({-0.40f, 0.22f, -0.25f, 0.02f, 0.60f, police ? 0.94f : 1.0f, 0.46f, 0.37f, 0.10f, 0.88f, true},
                Part::body);
        b.badge(-0.495f, 0.24f, 0.48f, 0.44f, 0.55f, Part::tail_lamp);
        b.badge(0.495f, 0.26f, 0.48f, 0.36f, 0.46f, Part::head_lamp);
        b.badge(-0.495f, -0.44f, 0.44f, 0.17f, 0.27f, Part::trim);
        b.badge(0.495f, -0.24f, 0.24f, 0.24f, 0.40f, Part::trim);
        b.axle(-0.31f, 0.072f, 0.23f);
        b.axle(0.31f, 0.072f, 0.23f);
        if (fine) {
            b.badge(-0.495f, -0.13f, 0.13f, 0.33f, 0.42f, Part::plate, 2);
            b.badge(0.497f, -0.13f, 0.13f, 0.20f, 0.27f, Part::plate, 2);
            b.side_strip(-0.23f, 0.23f, 0.17f, 0.24f, Part::trim);
            b.side_strip(-0.02f, -0.005f, 0.24f, 0.60f, Part::trim);
        }
        if (police) {
            b.side_strip(-0.36f, 0.24f, 0.34f, 0.52f, Part::stripe);
            b.cabin({-0.16f, -0.06f, -0.16f, -0.06f, 0.94f, 1.02f, 0.30f, 0.28f, 0, 0, false}, Part::trim, false);
            b.badge(-0.16f, 0.02f, 0.29f, 0.945f, 1.015f, Part::bar_blue);
            b.badge(-0.16f, -0.29f, -0.02f, 0.945f, 1.015f, Part::bar_red);
            b.badge(-0.06f, 0.02f, 0.29f, 0.945f, 1.015f, Part::bar_blue);
            b.badge(-0.06f, -0.29f, -0.02f, 0.945f, 1.015f, Part::bar_red);
        }
        return b.panels;
    };
    return {build(true), build(false), {0.5f, 0.37f, 0.42f}, {-0.5f, 0.37f, 0.49f}};
}

VehicleModel make_van() {
    const auto build = [](bool fine) {
        Builder b(fine);
        b.extrude({{-0.50f, 0.14f}, {0.49f, 0.14f}, {0.50f, 0.36f}, {0.46f, 0.46f}, {0.36f, 0.50f}, {-0.50f, 0.50f}},
                  0.5f, Part::body);
        b.cabin({-0.50f, 0.37f, -0.49f, 0.20f, 0.50f, 1.0f, 0.5f, 0.45f, 0.12f, 0.72f, true}, Part::body);
        b.badge(-0.502f, 0.40f, 0.49f, 0.32f, 0.52f, Part::tail_lamp);
        b.badge(0.50f, 0.28f, 0.47f, 0.30f, 0.40f, Part::head_lamp);
        b.badge(-0.502f, -0.46f, 0.46f, 0.14f, 0.22f, Part::trim);
        b.badge(0.50f, -0.26f, 0.26f, 0.18f, 0.36f, Part::trim);
        b.side_strip(-0.48f, 0.44f, 0.40f, 0.48f, Part::stripe);
        b.axle(-0.31f, 0.066f, 0.155f);
        b.axle(0.32f, 0.066f, 0.155f);
        if (fine) {
            b.badge(-0.504f, -0.01f, 0.01f, 0.24f, 0.95f, Part::trim, 2);
            b.badge(-0.504f, 0.10f, 0.32f, 0.26f, 0.32f, Part::plate, 2);
        }
        return b.panels;
    };
    return {build(true), build(false), {0.5f, 0.38f, 0.36f}, {-0.5f, 0.45f, 0.42f}};
}

VehicleModel make_truck() {
    const auto build = [](bool fine) {
        Builder b(fine);
        b.extrude({{-0.50f, 0.12f}, {0.49f, 0.12f}, {0.49f, 0.26f}, {-0.50f, 0.26f}}, 0.46f, Part::trim);
        b.box({-0.50f, -0.5f, 0.24f}, {0.20f, 0.5f, 1.0f}, Part::cargo);
        b.cabin({0.22f, 0.49f, 0.23f, 0.46f, 0.14f, 0.82f, 0.49f, 0.47f, 0.48f, 0.90f, false}, Part::body);
        b.badge(-0.502f, 0.32f, 0.47f, 0.15f, 0.22f, Part::tail_lamp);
        b.badge(0.497f, 0.28f, 0.47f, 0.17f, 0.25f, Part::head_lamp);
        b.badge(0.494f, -0.26f, 0.26f, 0.20f, 0.36f, Part::trim, 2);
        b.axle(-0.34f, 0.062f, 0.145f);
        b.axle(0.34f, 0.062f, 0.145f);
        b.side_strip(-0.48f, 0.18f, 0.44f, 0.54f, Part::stripe);
        b.badge(-0.502f, -0.48f, 0.48f, 0.30f, 0.36f, Part::stripe);
        if (fine) {
            b.badge(-0.502f, -0.012f, 0.012f, 0.26f, 0.97f, Part::trim, 2);
            b.badge(-0.502f, -0.14f, 0.14f, 0.14f, 0.19f, Part::plate, 2);
            b.axle(-0.20f, 0.062f, 0.145f);
        }
        return b.panels;
    };
    return {build(true), build(false), {0.5f, 0.38f, 0.21f}, {-0.5f, 0.40f, 0.185f}};
}

}  // namespace

const VehicleModel& vehicle_model(ActorKind kind) {
    static const VehicleModel car = make_car(false), police = make_car(true), van = make_van(), truck = make_truck();
    switch (kind) {
        case ActorKind::van: return van;
        case ActorKind::truck: return truck;
        case ActorKind::police_car: return police;
        default: return car;
    }
}

}  // namespace semore::driving
