// What the camera sees: the seam between the world (physics, traffic, people) and the camera (pixels).
// The world fills a SceneView each tick; the camera reads it and nothing else.
//
// Axes: x along the road (the ego drives towards +x), y to the left, z up; metres, radians, m/s.
// The road is straight and endless. Traffic keeps right, so the ego's lanes lie at y < 0 on a two-way road.
#pragma once

#include <cstdint>

namespace semore::driving {

// CARLA 0.9.14+ semantic tags, so that masks mean the same on both simulators.
enum class ClassId : std::uint8_t {
    none = 0,
    road = 1,
    sidewalk = 2,
    building = 3,
    fence = 5,
    pole = 6,
    vegetation = 9,
    terrain = 10,
    sky = 11,
    pedestrian = 12,
    rider = 13,
    car = 14,
    truck = 15,
    bicycle = 19,
    road_line = 24,
};

enum class Weather : std::uint8_t { day = 0, dusk = 1, midnight = 2, rain = 3, fog = 4 };

enum class ActorKind : std::uint8_t { car = 0, van = 1, truck = 2, police_car = 3, cyclist = 4, pedestrian = 5 };

// Bit set of ActorView::lights.
enum Lights : std::uint8_t {
    lights_none = 0,
    lights_low_beam = 1,
    lights_high_beam = 2,
    lights_brake = 4,
    lights_tail = 8,
    lights_beacon = 16,  // police and ambulance roof lights
};

struct ActorView {
    ActorKind kind = ActorKind::car;
    std::uint8_t instance_id = 0;  // 1..255, unique within a scene; 0 is "no instance"
    std::uint8_t lights = lights_none;
    std::uint8_t colour[3] = {128, 128, 128};  // RGB of the body or of the clothes
    std::uint8_t style = 0;                    // picks hair, trousers, body details; any value is valid
    bool drawn = true;                         // false in the not-drawn control: neither RGB, ids, light nor shadow
    float x_m = 0, y_m = 0, yaw_rad = 0;       // centre of the footprint; yaw 0 faces +x
    float z_m = 0;                             // height of the footprint (a body lying on a bonnet is above 0)
    float length_m = 0, width_m = 0, height_m = 0;
    float pitch_rad = 0;        // a struck person tips over: 0 upright, pi/2 lying along yaw
    float speed_mps = 0;        // drives limb swing and wheel spin together with phase
    float phase_rad = 0;        // limb or pedal phase, advanced by the world with distance walked
};

// Cross-section of the road, constant along x.
struct RoadView {
    int lanes_forward = 1;        // lanes driven towards +x
    int lanes_oncoming = 1;       // lanes driven towards -x (0 on a one-way road)
    float lane_width_m = 4.0f;
    float median_width_m = 0.0f;  // between the directions, centred on y = 0 (a barrier is drawn when > 0)
    float shoulder_width_m = 0.0f;
    float pavement_width_m = 3.0f;  // kerb and pavement on both sides; 0 on a highway, where guard rails stand instead
    float fence_y_m = 9.0f;         // |y| of the solid boundary (fence, wall or guard rail)
    bool town = true;               // houses, trees and lamp posts; otherwise fields, trees and guard rails
};

struct SceneView {
    RoadView road;
    Weather weather = Weather::day;
    bool street_lights = false;   // lamp posts are lit (night, town only)
    std::uint64_t scenery_seed = 0;  // chooses houses, trees and posts along the endless road
    double time_s = 0;               // for rain streaks and beacons; a pure function of the tick count
    // Camera: CARLA's mount in the paper's code is 1 m ahead of the car's centre and 1.5 m up, level.
    float camera_x_m = 0, camera_y_m = 0, camera_z_m = 1.5f, camera_yaw_rad = 0, camera_pitch_rad = 0;
    float fov_deg = 60.0f;
    // The ego itself is not drawn (the camera sits at its roof's front edge), but its lamps light the road.
    float ego_x_m = 0, ego_y_m = 0, ego_yaw_rad = 0;
    std::uint8_t ego_lights = lights_none;
    const ActorView* actors = nullptr;
    int actor_count = 0;
};

}  // namespace semore::driving
