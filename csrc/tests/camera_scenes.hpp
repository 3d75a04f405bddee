// Scenes like those the scenarios make, for the tests and the bench of the camera.
#pragma once

#include "driving/camera.hpp"

#include <string>
#include <vector>

namespace semore::driving::scenes {

struct Scene {
    std::string name;
    SceneView view;
    std::vector<ActorView> actors;

    const SceneView& bound() {
        view.actors = actors.data();
        view.actor_count = static_cast<int>(actors.size());
        return view;
    }
};

inline ActorView actor(ActorKind kind, int id, float x, float y, float yaw) {
    static const struct {
        float length, width, height;
    } sizes[] = {{4.7f, 1.85f, 1.45f}, {5.6f, 2.1f, 2.5f},   {8.4f, 2.5f, 3.3f},
                 {5.0f, 1.9f, 1.5f},   {1.8f, 0.55f, 1.75f}, {0.5f, 0.55f, 1.75f}};
    static const std::uint8_t colours[][3] = {{176, 30, 34},   {34, 72, 150},  {222, 222, 218}, {40, 42, 46},
                                              {150, 156, 160}, {214, 168, 40}, {30, 110, 84}};
    ActorView a;
    a.kind = kind;
    a.instance_id = static_cast<std::uint8_t>(id);
    a.style = static_cast<std::uint8_t>(id * 37);
    for (int i = 0; i < 3; ++i) a.colour[i] = colours[id % 7][i];
    a.x_m = x, a.y_m = y, a.yaw_rad = yaw;
    const auto& s = sizes[static_cast<int>(kind)];
    a.length_m = s.length, a.width_m = s.width, a.height_m = s.height;
    return a;
}

inline bool dark(Weather w) { return w != Weather::day; }

inline Scene base(const char* name, Weather weather, float camera_y) {
    Scene s;
    s.name = name;
    s.view.weather = weather;
    s.view.scenery_seed = 7;
    s.view.camera_x_m = 40, s.view.camera_y_m = camera_y;
    s.view.ego_x_m = 39, s.view.ego_y_m = camera_y;
    s.view.ego_lights = dark(weather) ? lights_low_beam | lights_tail : lights_none;
    s.view.street_lights = weather == Weather::midnight;
    return s;
}

inline Scene jaywalk(Weather weather) {
    Scene s = base("jaywalk", weather, -2);
    const float half_pi = 1.57079633f;
    const struct {
        float x, y, yaw, speed, phase;
    } walkers[] = {{52, -6.2f, half_pi, 0, 0},
                   {53, -2.2f, half_pi, 1.6f, 0.9f},
                   {58, 1.2f, -half_pi, 4.5f, 2.2f},
                   {64, 6.4f, -half_pi, 0, 0.4f},
                   {78, -3.0f, half_pi, 2.5f, 5.0f}};
    int id = 1;
    for (const auto& w : walkers) {
        ActorView a = actor(ActorKind::pedestrian, id++, w.x, w.y, w.yaw);
        a.speed_mps = w.speed, a.phase_rad = w.phase;
        s.actors.push_back(a);
    }
    return s;
}

inline Scene highbeam(Weather weather) {
    Scene s = base("highbeam", weather, -2);
    ActorView bike = actor(ActorKind::cyclist, 1, 55, -2.9f, 0.05f);
    bike.speed_mps = 5, bike.phase_rad = 1.1f;
    s.actors.push_back(bike);
    const struct {
        ActorKind kind;
        float x;
    } oncoming[] = {{ActorKind::car, 66}, {ActorKind::truck, 88}, {ActorKind::police_car, 110}};
    int id = 2;
    for (const auto& o : oncoming) {
        ActorView a = actor(o.kind, id++, o.x, 2, 3.14159265f);
        a.lights = lights_high_beam | lights_tail;
        if (o.kind == ActorKind::police_car) a.lights |= lights_beacon;
        s.actors.push_back(a);
    }
    return s;
}

inline Scene highway(Weather weather) {
    Scene s = base("highway", weather, -5.25f);
    s.view.road = {4, 4, 3.5f, 2.0f, 2.0f, 0.0f, 18.0f, false};
    s.view.street_lights = false;
    const ActorKind kinds[] = {ActorKind::car,   ActorKind::van, ActorKind::car,
                               ActorKind::truck, ActorKind::car, ActorKind::police_car};
    for (int i = 0; i < 20; ++i) {
        const float y = -(1.0f + 3.5f * (static_cast<float>((i * 3) % 4) + 0.5f));
        ActorView a = actor(kinds[i % 6], i + 1, 54 + 9.5f * static_cast<float>(i), y, 0);
        if (dark(weather)) a.lights = lights_low_beam | lights_tail;
        if (i % 5 == 0) a.lights |= lights_brake;
        s.actors.push_back(a);
    }
    return s;
}

}  // namespace semore::driving::scenes
