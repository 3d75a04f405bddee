#include "views.hpp"

#include "walkers.hpp"

#include <algorithm>
#include <cmath>

namespace semore::driving {
namespace {

constexpr float kPi = 3.14159265f;
constexpr float kLyingHeight_m = 0.15f;
constexpr float kCarriedHeight_m = 0.5f, kCarriedLean_rad = 0.5f;

}  // namespace

float facing_of(const Walker& walker) {
    const bool walks_left = walker.speed_y_mps != 0 ? walker.speed_y_mps > 0 : walker.y_m < 0;
    return walks_left ? 0.5f * kPi : -0.5f * kPi;
}

std::uint8_t ego_lights(Weather weather) {
    return weather == Weather::day || weather == Weather::rain ? lights_none : lights_low_beam;
}

// Whoever is carried leans against the car's front, in the middle of the picture: what has happened and what is to be
// done about it can be seen, not only remembered.
void lay_down(ActorView& view, const Body& body) {
    if (body.status == BodyStatus::active) return;
    const bool carried = body.status == BodyStatus::carried;
    view.pitch_rad = carried ? kCarriedLean_rad : 0.5f * kPi;
    view.z_m = carried ? kCarriedHeight_m : kLyingHeight_m;
    view.speed_mps = 0;
}

ActorView view_of(const Walker& walker, float yaw_rad, float speed_mps) {
    ActorView view;
    view.kind = ActorKind::pedestrian;
    std::copy(walker.colour, walker.colour + 3, view.colour);
    view.style = walker.style;
    view.x_m = walker.x_m;
    view.y_m = walker.y_m;
    view.yaw_rad = yaw_rad;
    view.length_m = kWalkerLength_m;
    view.width_m = kWalkerWidth_m;
    view.height_m = kWalkerHeight_m;
    view.speed_mps = speed_mps;
    view.phase_rad = walker.phase_rad;
    lay_down(view, walker.body);
    return view;
}

RoadVelocity velocity_of(const Body& body, const Ego& carrier, RoadVelocity own) {
    if (body.status == BodyStatus::active) return own;
    if (body.status == BodyStatus::carried) return road_velocity(carrier);
    return {body.slide_mps, 0};
}

void look_from(SceneView& scene, float x_m, float y_m, float yaw_rad, const Mount& mount) {
    const float c = std::cos(yaw_rad), s = std::sin(yaw_rad);
    scene.camera_x_m = x_m + (mount.x_m * c - mount.y_m * s);
    scene.camera_y_m = y_m + (mount.x_m * s + mount.y_m * c);
    scene.camera_z_m = mount.z_m;
    scene.camera_yaw_rad = yaw_rad + mount.yaw_rad;
    scene.camera_pitch_rad = mount.pitch_rad;
}

}  // namespace semore::driving
