// ReplayBuffer for Python: checks types and shapes, releases the GIL, calls csrc/replay_buffer.hpp.
#include "replay_buffer.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace semore {
namespace {

using Shape = std::vector<py::ssize_t>;
using Unlocked = py::gil_scoped_release;

std::string text(py::handle object) { return py::str(object); }

std::string text(const Shape& shape) {
    py::tuple tuple(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) tuple[i] = shape[i];
    return text(tuple);
}

// The messages are those of semore.replay_types.check_array.
template <typename T>
py::array as_array(const char* name, py::handle object) {
    const py::dtype wanted = py::dtype::of<T>();
    if (!py::isinstance<py::array>(object)) {
        throw py::type_error(std::string(name) + " must be a numpy array of " + text(wanted) + ", got " +
                             text(py::type::of(object).attr("__name__")));
    }
    py::array array = py::reinterpret_borrow<py::array>(object);
    if (!py::isinstance<py::array_t<T>>(array)) {
        throw py::type_error(std::string(name) + " must be " + text(wanted) + ", got " + text(array.dtype()));
    }
    return array;
}

void require_contiguous(const char* name, const py::array& array) {
    if (!(array.flags() & py::array::c_style)) {
        throw py::value_error(std::string(name) + " must be C-contiguous; pass numpy.ascontiguousarray(" + name + ")");
    }
}

template <typename T>
py::array checked(const char* name, py::handle object, const Shape& shape) {
    py::array array = as_array<T>(name, object);
    const Shape got(array.shape(), array.shape() + array.ndim());
    if (got != shape) {
        throw py::value_error(std::string(name) + " must have shape " + text(shape) + ", got " + text(got));
    }
    require_contiguous(name, array);
    return array;
}

py::array checked_ids(const char* name, py::handle object) {
    py::array array = as_array<std::int64_t>(name, object);
    if (array.ndim() != 1) {
        throw py::value_error(std::string(name) + " must have one dimension, got shape " +
                              text(Shape(array.shape(), array.shape() + array.ndim())));
    }
    require_contiguous(name, array);
    return array;
}

template <typename T>
const T* read(const py::array& array) {
    return static_cast<const T*>(array.data());
}

// bool arrays hold one byte per value.
const std::uint8_t* read_flags(const py::array& array) { return static_cast<const std::uint8_t*>(array.data()); }

template <typename T>
py::array_t<T> copied(const std::vector<T>& values, const Shape& shape) {
    py::array_t<T> array(shape);
    std::copy(values.begin(), values.end(), array.mutable_data());
    return array;
}

py::array copied_flags(const std::vector<std::uint8_t>& values) {
    py::array_t<bool> array(static_cast<py::ssize_t>(values.size()));
    std::copy(values.begin(), values.end(), array.mutable_data());
    return std::move(array);
}

class Binding {
public:
    Binding(const ReplaySpec& spec, Shape frame_shape)
        : buffer_(spec), frame_(std::move(frame_shape)), mask_{frame_[1], frame_[2]} {}

    py::array begin(py::handle env_ids, py::handle frames) {
        const py::array env = checked_ids("env_ids", env_ids);
        const py::array images = checked<std::uint8_t>("frames", frames, rows(env.size(), frame_));
        py::array_t<std::int64_t> ids(env.size());
        std::int64_t* out = ids.mutable_data();
        {
            const Unlocked unlocked;
            buffer_.begin(env.size(), read<std::int64_t>(env), read<std::uint8_t>(images), out);
        }
        return std::move(ids);
    }

    py::array add(py::handle env_ids, py::handle actions, py::handle rewards, py::handle terminated,
                  py::handle truncated, py::handle next_frames, py::handle admit) {
        const py::array env = checked_ids("env_ids", env_ids);
        const py::ssize_t count = env.size();
        const py::array action = checked<float>("actions", actions, {count, buffer_.spec().action_dim});
        const py::array reward = checked<float>("rewards", rewards, {count});
        const py::array end = checked<bool>("terminated", terminated, {count});
        const py::array cut = checked<bool>("truncated", truncated, {count});
        const py::array images = checked<std::uint8_t>("next_frames", next_frames, rows(count, frame_));
        const py::array keep = checked<bool>("admit", admit, {count});
        py::array_t<std::int64_t> ids(count);
        std::int64_t* out = ids.mutable_data();
        const Transitions transitions{count,           read<std::int64_t>(env), read<float>(action),
                                      read<float>(reward), read_flags(end),     read_flags(cut),
                                      read<std::uint8_t>(images), read_flags(keep)};
        {
            const Unlocked unlocked;
            buffer_.add(transitions, out);
        }
        return std::move(ids);
    }

    std::int64_t set_masks(py::handle frame_ids, py::handle masks) {
        const py::array ids = checked_ids("frame_ids", frame_ids);
        const py::array images = checked<std::uint8_t>("masks", masks, rows(ids.size(), mask_));
        const Unlocked unlocked;
        return buffer_.set_masks(ids.size(), read<std::int64_t>(ids), read<std::uint8_t>(images));
    }

    // Field by field as semore.replay.Batch.
    void gather(py::handle indices, py::handle frames, py::handle masks, py::handle has_mask, py::handle action,
                py::handle reward, py::handle nstep_return, py::handle bootstrap_discount) {
        const ReplaySpec& spec = buffer_.spec();
        const py::array index = checked_ids("indices", indices);
        const py::ssize_t count = index.size(), kept = spec.mask_bytes > 0 ? spec.n_step + 1 : 0;
        const BatchPointers out{
            write<std::uint8_t>("out.frames", frames, {count, spec.window(), frame_[0], frame_[1], frame_[2]}),
            write<std::uint8_t>("out.masks", masks, {count, kept, mask_[0], mask_[1]}),
            reinterpret_cast<std::uint8_t*>(write<bool>("out.has_mask", has_mask, {count, kept})),
            write<float>("out.action", action, {count, spec.action_dim}),
            write<float>("out.reward", reward, {count}),
            write<float>("out.nstep_return", nstep_return, {count}),
            write<float>("out.bootstrap_discount", bootstrap_discount, {count}),
        };
        const Unlocked unlocked;
        buffer_.gather(count, read<std::int64_t>(index), out);
    }

    std::int64_t size() const { return buffer_.size(); }

    py::dict stats() const {
        const ReplayCounters counters = buffer_.counters();
        py::dict stats;
        stats["frames"] = buffer_.frames_held();
        stats["admitted"] = counters.admitted;
        stats["dropped"] = counters.dropped;
        stats["masks"] = counters.masks;
        stats["late_dropped"] = counters.late_dropped;
        return stats;
    }

    // `self` keeps the buffer alive for as long as its views.
    static py::dict state_arrays(py::object self) {
        const auto& binding = self.cast<const Binding&>();
        const ReplaySpec& spec = binding.buffer_.spec();
        const ReplayState state = binding.buffer_.state();
        const ReplayCounters& counters = state.counters;
        const Shape frames{spec.capacity}, masks{spec.mask_bytes > 0 ? spec.capacity : 0}, envs{spec.num_envs};
        py::dict arrays;
        arrays["frames"] = view(binding.buffer_.frames(), rows(frames[0], binding.frame_), self);
        arrays["masks"] = view(binding.buffer_.masks(), rows(masks[0], binding.mask_), self);
        arrays["has_mask"] = copied_flags(state.has_mask);
        arrays["action"] = copied(state.action, {spec.capacity, spec.action_dim});
        arrays["reward"] = copied(state.reward, frames);
        arrays["terminated"] = copied_flags(state.terminated);
        arrays["admitted"] = copied_flags(state.admitted);
        arrays["offset"] = copied(state.offset, frames);
        arrays["starts"] = copied(state.starts, {static_cast<py::ssize_t>(state.starts.size())});
        arrays["next_sequence"] = copied(state.next_sequence, envs);
        arrays["open"] = copied_flags(state.open);
        arrays["counters"] = copied<std::int64_t>(
            {counters.admitted, counters.dropped, counters.masks, counters.late_dropped}, {4});
        arrays["window"] = copied<std::int64_t>({spec.stack, spec.n_step}, {2});
        return arrays;
    }

    // The caller, semore_fast.replay, has run semore.replay_types.check_state.
    void load_state_arrays(const py::dict& arrays) {
        const auto get = [&](const char* name) { return py::array(arrays[name]); };
        const auto flags = [&](const char* name) {
            const py::array array = get(name);
            return std::vector<std::uint8_t>(read_flags(array), read_flags(array) + array.size());
        };
        ReplayState state;
        state.has_mask = flags("has_mask");
        state.action = values<float>(get("action"));
        state.reward = values<float>(get("reward"));
        state.terminated = flags("terminated");
        state.admitted = flags("admitted");
        state.offset = values<std::int32_t>(get("offset"));
        state.starts = values<std::int32_t>(get("starts"));
        state.next_sequence = values<std::int64_t>(get("next_sequence"));
        state.open = flags("open");
        const std::vector<std::int64_t> counters = values<std::int64_t>(get("counters"));
        state.counters = {counters[0], counters[1], counters[2], counters[3]};
        const py::array frames = get("frames"), masks = get("masks");
        const Unlocked unlocked;
        buffer_.load(read<std::uint8_t>(frames), read<std::uint8_t>(masks), std::move(state));
    }

private:
    static Shape rows(py::ssize_t count, const Shape& each) {
        Shape shape{count};
        shape.insert(shape.end(), each.begin(), each.end());
        return shape;
    }

    template <typename T>
    static T* write(const char* name, py::handle object, const Shape& shape) {
        py::array array = checked<T>(name, object, shape);
        if (!array.writeable()) throw py::value_error(std::string(name) + " must be writeable");
        return static_cast<T*>(array.mutable_data());
    }

    template <typename T>
    static std::vector<T> values(const py::array& array) {
        return std::vector<T>(read<T>(array), read<T>(array) + array.size());
    }

    static py::array view(const std::uint8_t* data, const Shape& shape, const py::object& owner) {
        py::array_t<std::uint8_t> array(shape, data, owner);
        array.attr("flags").attr("writeable") = false;
        return std::move(array);
    }

    ReplayBuffer buffer_;
    Shape frame_, mask_;
};

}  // namespace

void bind_replay(py::module_& m) {
    py::class_<Binding>(m, "ReplayBuffer", "C++ twin of semore.replay.ReplayBuffer; semore_fast.replay wraps it.")
        .def(py::init([](std::int64_t capacity, std::int64_t num_envs, const Shape& frame_shape,
                         std::int64_t action_dim, std::int64_t stack, std::int64_t n_step, double discount,
                         bool masks, int threads) {
                 if (threads < 1) throw py::value_error("threads must be at least 1, got " + std::to_string(threads));
                 ReplaySpec spec;
                 spec.capacity = capacity;
                 spec.num_envs = num_envs;
                 spec.frame_bytes = frame_shape.at(0) * frame_shape.at(1) * frame_shape.at(2);
                 spec.mask_bytes = masks ? frame_shape.at(1) * frame_shape.at(2) : 0;
                 spec.action_dim = action_dim;
                 spec.stack = stack;
                 spec.n_step = n_step;
                 spec.discount = discount;
                 spec.threads = threads;
                 return std::make_unique<Binding>(spec, frame_shape);
             }),
             py::kw_only(), py::arg("capacity"), py::arg("num_envs"), py::arg("frame_shape"), py::arg("action_dim"),
             py::arg("stack"), py::arg("n_step"), py::arg("discount"), py::arg("masks"), py::arg("threads"))
        .def("begin", &Binding::begin)
        .def("add", &Binding::add)
        .def("set_masks", &Binding::set_masks)
        .def("gather", &Binding::gather)
        .def("stats", &Binding::stats)
        .def("state_arrays", &Binding::state_arrays)
        .def("load_state_arrays", &Binding::load_state_arrays)
        .def("__len__", &Binding::size);
}

}  // namespace semore
