// Python's view of the batched simulator: checks arrays, releases the GIL, and nothing else.
#include "driving/simulator.hpp"

#include "scenario_fields.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

namespace semore {

namespace {

namespace py = pybind11;
using namespace driving;
using Shape = std::vector<py::ssize_t>;

std::string text(const Shape& shape) {
    std::string out;
    for (const py::ssize_t size : shape) out += (out.empty() ? "[" : ", ") + std::to_string(size);
    return out + "]";
}

// The array's memory, after its type, shape and layout turned out exactly as asked. Nothing is converted or copied.
template <class T>
const T* readable(const py::object& object, const std::string& name, const Shape& shape) {
    if (!py::isinstance<py::array_t<T, 0>>(object)) {
        const std::string wanted = py::str(py::dtype::of<T>()).template cast<std::string>();
        const std::string given = py::isinstance<py::array>(object)
                                      ? py::str(py::reinterpret_borrow<py::array>(object).dtype())
                                      : py::str(py::type::of(object));
        throw py::type_error(name + " must be a numpy array of " + wanted + ", is " + given);
    }
    const auto array = py::reinterpret_borrow<py::array>(object);
    const Shape given(array.shape(), array.shape() + array.ndim());
    if (given != shape) throw py::value_error(name + " must have shape " + text(shape) + ", has " + text(given));
    if (!(array.flags() & py::array::c_style)) throw py::value_error(name + " must be C contiguous");
    return static_cast<const T*>(array.data());
}

template <class T>
T* writable(const py::object& object, const std::string& name, const Shape& shape) {
    const T* memory = readable<T>(object, name, shape);
    if (!py::reinterpret_borrow<py::array>(object).writeable()) throw py::value_error(name + " must be writeable");
    return const_cast<T*>(memory);
}

template <class T>
T* optional(const py::object& object, const std::string& name, const Shape& shape) {
    return object.is_none() ? nullptr : writable<T>(object, name, shape);
}

Shape rgb_shape(const SimulatorConfig& config, py::ssize_t envs) {
    const py::ssize_t size = config.camera.image_size;
    return config.channels_last ? Shape{envs, size, size, 3} : Shape{envs, 3, size, size};
}

// Output arrays checked once against one simulator, and kept alive.
struct Outputs {
    StepBuffers buffers;
    const Simulator* owner;
    std::vector<py::object> arrays;
};

Outputs make_outputs(const Simulator& simulator, py::object results, py::object ego, py::object actors, py::object rgb,
                     py::object class_ids, py::object instance_ids) {
    const SimulatorConfig& config = simulator.config();
    const py::ssize_t envs = config.num_envs;
    const Shape ids = {envs, config.camera.image_size, config.camera.image_size};
    StepBuffers buffers;
    buffers.results = writable<TickResult>(results, "results", {envs});
    buffers.ego = optional<float>(ego, "ego", {envs, ego_columns});
    buffers.actors = optional<float>(actors, "actors", {envs, actor_rows, actor_columns});
    buffers.rgb = optional<std::uint8_t>(rgb, "rgb", rgb_shape(config, envs));
    buffers.class_ids = optional<std::uint8_t>(class_ids, "class_ids", ids);
    buffers.instance_ids = optional<std::uint8_t>(instance_ids, "instance_ids", ids);
    if (!buffers.rgb && (buffers.class_ids || buffers.instance_ids))
        throw py::value_error("class_ids and instance_ids are drawn together with rgb; give rgb too");
    return {buffers, &simulator, {results, ego, actors, rgb, class_ids, instance_ids}};
}

void check_owner(const Simulator& simulator, const Outputs& out) {
    if (out.owner != &simulator) throw py::value_error("out was made by another simulator's outputs()");
}

Simulator* make_simulator(const py::dict& scenario, int num_envs, int image_size, int supersample, int threads,
                          bool channels_last) {
    SimulatorConfig config;
    config.scenario = scenario_from_dict(scenario);
    config.camera.image_size = image_size;
    config.camera.supersample = supersample;
    config.num_envs = num_envs;
    config.threads = threads;
    config.channels_last = channels_last;
    return new Simulator(config);
}

void reset(Simulator& self, const py::object& seeds, const py::object& which, const Outputs& out) {
    check_owner(self, out);
    const Shape rows = {self.config().num_envs};
    const auto* seed_rows = readable<std::uint64_t>(seeds, "seeds", rows);
    const auto* chosen = readable<bool>(which, "which", rows);
    const py::gil_scoped_release release;
    self.reset(seed_rows, chosen, out.buffers);
}

void step(Simulator& self, const py::object& actions, int frames, const py::object& which, const Outputs& out) {
    check_owner(self, out);
    const auto* action_rows = readable<float>(actions, "actions", {self.config().num_envs, 2});
    const auto* chosen = readable<bool>(which, "which", {self.config().num_envs});
    const py::gil_scoped_release release;
    self.step(action_rows, frames, chosen, out.buffers);
}

void observe(Simulator& self, const py::object& which, const Outputs& out) {
    check_owner(self, out);
    const auto* chosen = readable<bool>(which, "which", {self.config().num_envs});
    const py::gil_scoped_release release;
    self.observe(chosen, out.buffers);
}

void view(Simulator& self, int env, int image_size, int supersample, const py::object& rgb) {
    CameraConfig camera = self.config().camera;
    camera.image_size = image_size;
    camera.supersample = supersample;
    auto* pixels = writable<std::uint8_t>(rgb, "rgb", {image_size, image_size, 3});
    const py::gil_scoped_release release;
    self.view(env, camera, pixels);
}

void privileged_actions(Simulator& self, const py::object& actions) {
    auto* rows = writable<float>(actions, "actions", {self.config().num_envs, 2});
    const py::gil_scoped_release release;
    self.privileged_actions(rows);
}

py::bytes save_state(const Simulator& self) {
    const std::vector<std::uint8_t> state = self.save();
    return py::bytes(reinterpret_cast<const char*>(state.data()), state.size());
}

void load_state(Simulator& self, const py::bytes& state) {
    char* data = nullptr;
    py::ssize_t size = 0;
    if (PyBytes_AsStringAndSize(state.ptr(), &data, &size) != 0) throw py::error_already_set();
    self.restore(reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size));
}

py::dict scenario_presets() {
    py::dict presets;
    presets["defaults"] = scenario_to_dict(ScenarioConfig{});
    presets["jw"] = scenario_to_dict(jaywalk());
    presets["hb"] = scenario_to_dict(highbeam());
    presets["hw"] = scenario_to_dict(highway());
    return presets;
}

py::dict class_ids() {
    py::dict ids;
    const std::pair<const char*, ClassId> names[] = {
        {"none", ClassId::none},         {"road", ClassId::road},           {"sidewalk", ClassId::sidewalk},
        {"building", ClassId::building}, {"fence", ClassId::fence},         {"pole", ClassId::pole},
        {"vegetation", ClassId::vegetation}, {"terrain", ClassId::terrain}, {"sky", ClassId::sky},
        {"pedestrian", ClassId::pedestrian}, {"rider", ClassId::rider},     {"car", ClassId::car},
        {"truck", ClassId::truck},       {"bicycle", ClassId::bicycle},     {"road_line", ClassId::road_line}};
    for (const auto& [name, id] : names) ids[name] = static_cast<int>(id);
    return ids;
}

py::tuple end_reasons() {
    const EndReason last = EndReason::off_road;
    py::tuple names(static_cast<std::size_t>(last) + 1);
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = py::str(name_of(static_cast<EndReason>(i)));
    return names;
}

}  // namespace

void bind_driving(py::module_& module) {
    PYBIND11_NUMPY_DTYPE(TickResult, reward, reward_progress, reward_collision, reward_brake, reward_steer, distance_m,
                         crash_intensity_ns, steer_abs, brake, frames, new_hits, end);
    py::register_exception<ResetNeededError>(module, "ResetNeededError", PyExc_RuntimeError);
    module.attr("RESULT_DTYPE") = py::dtype::of<TickResult>();
    module.attr("END_REASONS") = end_reasons();
    module.attr("CLASS_IDS") = class_ids();
    module.attr("ACTOR_ROWS") = actor_rows;
    module.def("scenario_presets", &scenario_presets, "Field values of the C++ defaults and of jw, hb and hw.");

    py::class_<Outputs>(module, "SimulatorOutputs", "Checked output arrays of one simulator; see Simulator.outputs().");
    py::class_<Simulator>(module, "Simulator", "N driving worlds with cameras, stepped and rendered in one call.")
        .def(py::init(&make_simulator), py::kw_only(), py::arg("scenario"), py::arg("num_envs"), py::arg("image_size"),
             py::arg("supersample"), py::arg("threads"), py::arg("channels_last"))
        .def("outputs", &make_outputs, py::keep_alive<0, 1>(), py::kw_only(), py::arg("results"), py::arg("ego"),
             py::arg("actors"), py::arg("rgb"), py::arg("class_ids"), py::arg("instance_ids"))
        .def("reset", &reset, py::arg("seeds"), py::arg("which"), py::arg("out"))
        .def("step", &step, py::arg("actions"), py::arg("frames"), py::arg("which"), py::arg("out"))
        .def("observe", &observe, py::arg("which"), py::arg("out"))
        .def("view", &view, py::arg("env"), py::arg("image_size"), py::arg("supersample"), py::arg("rgb"))
        .def("privileged_actions", &privileged_actions, py::arg("actions"))
        .def("save_state", &save_state)
        .def("load_state", &load_state, py::arg("state"));
}

}  // namespace semore
