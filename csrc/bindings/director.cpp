// Python's view of the director: structured arrays in and out, and nothing else.
#include "driving/director.hpp"

#include "arrays.hpp"
#include "driving/ego.hpp"
#include "driving/rules.hpp"
#include "driving/views.hpp"
#include "scenario_fields.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace semore {

namespace {

namespace py = pybind11;
using namespace driving;

constexpr const char* vehicle_kinds[] = {"car", "van", "truck", "police_car", "cyclist"};

// Enums as the numbers that numpy knows.
struct WalkerRow {
    float speed_y_mps;
    WalkerPlace place;
    std::uint8_t order;
};

struct VehiclePlaceRow {
    float x_m, y_m, speed_mps, desired_mps, lane_offset_m, length_m, width_m, height_m;
    std::uint8_t kind;
    std::int8_t direction, lane;
    std::uint8_t lights, style, colour[3];
};

struct VehicleRow {
    VehiclePlaceRow place;
    bool moved, swerved;
};

struct SeenRow {
    float x_m, y_m;
    std::uint8_t status;
};

VehiclePlaceRow row_of(const VehiclePlace& p) {
    return {p.x_m,      p.y_m,     p.speed_mps, p.desired_mps, p.lane_offset_m, p.length_m,
            p.width_m,  p.height_m, static_cast<std::uint8_t>(p.kind), p.direction, p.lane, p.lights, p.style,
            {p.colour[0], p.colour[1], p.colour[2]}};
}

template <class Row, class Item, class Convert>
py::array_t<Row> array_of(const std::vector<Item>& items, Convert&& convert) {
    py::array_t<Row> rows(static_cast<py::ssize_t>(items.size()));
    Row* out = rows.mutable_data();
    for (std::size_t i = 0; i < items.size(); ++i) out[i] = convert(items[i]);
    return rows;
}

std::vector<SeenBody> seen(const py::object& rows, const char* name) {
    const py::array array = as_array<SeenRow>(name, rows);
    if (array.ndim() != 1) throw py::value_error(std::string(name) + " must have one dimension");
    require_contiguous(name, array);
    const auto* row = static_cast<const SeenRow*>(array.data());
    std::vector<SeenBody> bodies;
    for (py::ssize_t i = 0; i < array.size(); ++i) {
        if (row[i].status > 2) throw py::value_error(std::string(name) + ".status must be 0, 1 or 2");
        bodies.push_back({row[i].x_m, row[i].y_m, static_cast<Seen>(row[i].status)});
    }
    return bodies;
}

py::tuple advance(Director& self, float ego_x_m, const py::object& walkers, const py::object& vehicles) {
    std::vector<WalkerOrder> walker_orders;
    std::vector<VehicleOrder> vehicle_orders;
    self.advance(ego_x_m, seen(walkers, "walkers"), seen(vehicles, "vehicles"), walker_orders, vehicle_orders);
    return py::make_tuple(
        array_of<WalkerRow>(walker_orders,
                            [](const WalkerOrder& o) {
                                return WalkerRow{o.speed_y_mps, o.place, static_cast<std::uint8_t>(o.order)};
                            }),
        array_of<VehicleRow>(vehicle_orders, [](const VehicleOrder& o) {
            return VehicleRow{row_of(o.place), o.moved, o.swerved};
        }));
}

EgoState observed(const Director& self, float x_m, float y_m, float yaw_rad, float vx_mps, float vy_mps) {
    const float speed = std::sqrt(vx_mps * vx_mps + vy_mps * vy_mps);
    return observe_motion(self.config(), {x_m, y_m, yaw_rad, vx_mps, speed});
}

int judge(Director& self, float x_m, float y_m, float yaw_rad, float vx_mps, float vy_mps, float steer, float drive,
          float crash_intensity_ns, int new_hits) {
    const EgoState ego = observed(self, x_m, y_m, yaw_rad, vx_mps, vy_mps);
    return static_cast<int>(self.judge(ego, {steer, drive}, crash_intensity_ns, new_hits).end);
}

py::array_t<TickResult> take(Director& self) {
    py::array_t<TickResult> row(1);
    *row.mutable_data() = self.take();
    return row;
}

py::array_t<float> ego_row(const Director& self, float x_m, float y_m, float yaw_rad, float vx_mps, float vy_mps) {
    const EgoState ego = observed(self, x_m, y_m, yaw_rad, vx_mps, vy_mps);
    py::array_t<float> row(4);
    float* out = row.mutable_data();
    out[0] = ego.speed_mps;
    out[1] = ego.lane_offset_m;
    out[2] = ego.heading_error_rad;
    out[3] = self.config().road.lane_width_m;
    return row;
}

py::dict ego_place(const Director& self) {
    const EgoPlace ego = self.ego();
    py::dict place;
    place["x_m"] = ego.x_m;
    place["y_m"] = ego.y_m;
    place["lane"] = ego.lane;
    place["lights"] = ego.lights;
    return place;
}

}  // namespace

void bind_director(py::module_& module) {
    using py::arg;
    PYBIND11_NUMPY_DTYPE(WalkerPlace, x_m, y_m, yaw_rad, colour, style);
    PYBIND11_NUMPY_DTYPE(VehiclePlaceRow, x_m, y_m, speed_mps, desired_mps, lane_offset_m, length_m, width_m, height_m,
                         kind, direction, lane, lights, style, colour);
    PYBIND11_NUMPY_DTYPE(WalkerRow, speed_y_mps, place, order);
    PYBIND11_NUMPY_DTYPE(VehicleRow, place, moved, swerved);
    PYBIND11_NUMPY_DTYPE(SeenRow, x_m, y_m, status);
    module.attr("SEEN_DTYPE") = py::dtype::of<SeenRow>();
    py::tuple kinds(std::size(vehicle_kinds));
    for (std::size_t i = 0; i < std::size(vehicle_kinds); ++i) kinds[i] = py::str(vehicle_kinds[i]);
    module.attr("VEHICLE_KINDS") = kinds;
    module.attr("FIRST_VEHICLE_ID") = kFirstVehicleId;
    module.def("limiter_share", &limiter_share, arg("speed_mps"), arg("speed_limit_mps"),
               "What the ego's speed limiter leaves of the throttle, in [0, 1].");
    py::class_<Director>(module, "Director", "The scenario's rules without a world; see semore_fast/_C.pyi.")
        .def(py::init([](const py::dict& scenario) { return new Director(scenario_from_dict(scenario)); }),
             arg("scenario"))
        .def("start", &Director::start, arg("seed"))
        .def("begin", &Director::begin)
        .def("ego_place", &ego_place)
        .def("walkers",
             [](const Director& self) {
                 return array_of<WalkerPlace>(self.walkers(), [](const WalkerPlace& place) { return place; });
             })
        .def("vehicles", [](const Director& self) { return array_of<VehiclePlaceRow>(self.vehicles(), row_of); })
        .def("advance", &advance, py::kw_only(), arg("ego_x_m"), arg("walkers"), arg("vehicles"))
        .def("judge", &judge, py::kw_only(), arg("x_m"), arg("y_m"), arg("yaw_rad"), arg("vx_mps"), arg("vy_mps"),
             arg("steer"), arg("drive"), arg("crash_intensity_ns"), arg("new_hits"))
        .def("take", &take)
        .def("ego_row", &ego_row, py::kw_only(), arg("x_m"), arg("y_m"), arg("yaw_rad"), arg("vx_mps"), arg("vy_mps"));
}

}  // namespace semore
