// Python's view of the open world: checks arrays, releases the GIL, and nothing else.
#include "driving/open_world.hpp"

#include "arrays.hpp"
#include "scenario_fields.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <string>
#include <vector>

namespace semore {

namespace {

namespace py = pybind11;
using namespace driving;
using scenario_fields::Name;

using Colour = std::array<std::uint8_t, 3>;

constexpr Name<ActorKind> vehicle_kinds[] = {{ActorKind::car, "car"},
                                             {ActorKind::van, "van"},
                                             {ActorKind::truck, "truck"},
                                             {ActorKind::police_car, "police_car"},
                                             {ActorKind::cyclist, "cyclist"}};

Look look_of(const Colour& colour, std::uint8_t style) { return {{colour[0], colour[1], colour[2]}, style}; }

// Python's ids are signed: -1 says that the place was occupied.
std::int64_t id_of(ActorId actor) { return actor == 0 ? -1 : static_cast<std::int64_t>(actor); }

OpenWorld* make_open_world(const py::dict& road, float dt_s) { return new OpenWorld(road_from_dict(road), dt_s); }

void set_scene(OpenWorld& self, const py::object& weather, bool street_lights, std::uint64_t scenery_seed) {
    self.set_scene(scenario_fields::enum_from(weather, "weather", scenario_fields::weathers), street_lights,
                   scenery_seed);
}

std::int64_t spawn_vehicle(OpenWorld& self, const py::object& kind, float length_m, float width_m, float height_m,
                           const Colour& colour, std::uint8_t style, float x_m, float y_m, float yaw_rad) {
    const VehicleModelSize model{scenario_fields::enum_from(kind, "kind", vehicle_kinds), length_m, width_m, height_m};
    return id_of(self.spawn_vehicle(model, look_of(colour, style), {x_m, y_m, 0, yaw_rad}));
}

std::int64_t spawn_walker(OpenWorld& self, const Colour& colour, std::uint8_t style, float x_m, float y_m,
                          float yaw_rad) {
    return id_of(self.spawn_walker(look_of(colour, style), {x_m, y_m, 0, yaw_rad}));
}

void control_vehicle(OpenWorld& self, ActorId actor, float steer, float throttle, float brake, bool hand_brake,
                     bool reverse) {
    self.control_vehicle(actor, {steer, throttle, brake, hand_brake, reverse});
}

void place(OpenWorld& self, ActorId actor, float x_m, float y_m, float z_m, float yaw_rad) {
    self.place(actor, {x_m, y_m, z_m, yaw_rad});
}

void tick(OpenWorld& self) {
    const py::gil_scoped_release release;
    self.tick();
}

template <class Row>
py::array_t<Row> array_of(const std::vector<Row>& rows) {
    return py::array_t<Row>(static_cast<py::ssize_t>(rows.size()), rows.data());
}

template <class T>
T* optional_plane(const char* name, const py::object& object, const Shape& shape) {
    return object.is_none() ? nullptr : write<T>(name, object, shape);
}

void render(OpenWorld& self, int camera, ActorId owner, float x_m, float y_m, float z_m, float yaw_rad,
            float pitch_rad, const py::object& bgra, const py::object& class_ids, const py::object& instance_ids,
            const py::object& depth_m) {
    const PictureConfig config = self.camera(camera);
    const Shape plane = {config.height, config.width};
    PictureOutputs out;
    out.bgra = optional_plane<std::uint8_t>("bgra", bgra, {config.height, config.width, 4});
    out.class_ids = optional_plane<std::uint8_t>("class_ids", class_ids, plane);
    out.instance_ids = optional_plane<std::uint8_t>("instance_ids", instance_ids, plane);
    out.depth_m = optional_plane<float>("depth_m", depth_m, plane);
    const py::gil_scoped_release release;
    self.render(camera, owner, {x_m, y_m, z_m, yaw_rad, pitch_rad}, out);
}

int open_camera(OpenWorld& self, int width, int height, float fov_deg, int supersample) {
    return self.open_camera({width, height, fov_deg, supersample});
}

}  // namespace

void bind_open_world(py::module_& module) {
    PYBIND11_NUMPY_DTYPE(ActorRow, id, alive, present, instance_id, x_m, y_m, z_m, yaw_rad, pitch_rad, vx_mps, vy_mps,
                         yaw_rate_rps, ax_mps2, ay_mps2);
    PYBIND11_NUMPY_DTYPE(CollisionRow, actor, other, impulse_x_ns, impulse_y_ns, begun);
    py::register_exception<OpenWorldFull>(module, "OpenWorldFull", PyExc_RuntimeError);

    const auto only = py::kw_only();
    const auto actor = py::arg("actor"), camera = py::arg("camera");
    const auto x = py::arg("x_m"), y = py::arg("y_m"), z = py::arg("z_m"), yaw = py::arg("yaw_rad");
    const auto colour = py::arg("colour"), style = py::arg("style");
    const auto none = py::none();
    py::class_<OpenWorld>(module, "OpenWorld", "A road on which vehicles and people move as callers say.")
        .def(py::init(&make_open_world), only, py::arg("road"), py::arg("dt_s"))
        .def("set_scene", &set_scene, only, py::arg("weather"), py::arg("street_lights"), py::arg("scenery_seed"))
        .def("set_dt", &OpenWorld::set_dt, py::arg("dt_s"))
        .def("spawn_vehicle", &spawn_vehicle, only, py::arg("kind"), py::arg("length_m"), py::arg("width_m"),
             py::arg("height_m"), colour, style, x, y, yaw)
        .def("spawn_walker", &spawn_walker, only, colour, style, x, y, yaw)
        .def("remove", &OpenWorld::remove, actor)
        .def("control_vehicle", &control_vehicle, actor, only, py::arg("steer"), py::arg("throttle"), py::arg("brake"),
             py::arg("hand_brake"), py::arg("reverse"))
        .def("set_speed_limit", &OpenWorld::set_speed_limit, actor, py::arg("speed_mps"))
        .def("control_walker", &OpenWorld::control_walker, actor, only, py::arg("x"), py::arg("y"),
             py::arg("speed_mps"))
        .def("place", &place, actor, only, x, y, z, yaw)
        .def("set_velocity", &OpenWorld::set_velocity, actor, only, py::arg("x_mps"), py::arg("y_mps"))
        .def("set_lights", &OpenWorld::set_lights, actor, py::arg("bits"))
        .def("set_reporting", &OpenWorld::set_reporting, actor, py::arg("on"))
        .def("tick", &tick)
        .def("reset_clock", &OpenWorld::reset_clock, py::arg("ticks"))
        .def("actors", [](OpenWorld& self) { return array_of(self.actors()); })
        .def("collisions", [](OpenWorld& self) { return array_of(self.collisions()); })
        .def("open_camera", &open_camera, only, py::arg("width"), py::arg("height"), py::arg("fov_deg"),
             py::arg("supersample"))
        .def("close_camera", &OpenWorld::close_camera, camera)
        .def("render", &render, camera, only, py::arg("owner"), x, y, z, yaw, py::arg("pitch_rad"), py::arg("bgra"),
             py::arg("class_ids") = none, py::arg("instance_ids") = none, py::arg("depth_m") = none);
}

}  // namespace semore
