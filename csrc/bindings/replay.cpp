// ReplayBuffer for Python: checks types and shapes, releases the GIL, calls csrc/replay_buffer.hpp.
#include "arrays.hpp"
#include "replay_buffer.hpp"

#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace semore {
namespace {

using Unlocked = py::gil_scoped_release;

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

    std::int64_t withdraw(py::handle frame_ids) {
        const py::array ids = checked_ids("frame_ids", frame_ids);
        const Unlocked unlocked;
        return buffer_.withdraw(ids.size(), read<std::int64_t>(ids));
    }

    // Field by field as semore.replay_types.Batch.
    void gather(py::handle indices, py::handle frames, py::handle masks, py::handle has_mask, py::handle action,
                py::handle reward, py::handle nstep_return, py::handle bootstrap_discount) {
        const py::array index = checked_ids("indices", indices);
        const py::ssize_t count = index.size(), window = buffer_.spec().window();
        const Shape frames_shape{count, window, frame_[0], frame_[1], frame_[2]};
        const auto frames_out = write<std::uint8_t>("out.frames", frames, frames_shape);
        const auto masks_out = write<std::uint8_t>("out.masks", masks, {count, masks_kept(), mask_[0], mask_[1]});
        const RowPointers rows = write_rows(count, has_mask, action, reward, nstep_return, bootstrap_discount);
        const Unlocked unlocked;
        buffer_.gather(count, read<std::int64_t>(index), frames_out, masks_out, rows);
    }

    // Field by field as semore.replay_types.Windows.
    void locate(py::handle indices, py::handle slots, py::handle has_mask, py::handle action, py::handle reward,
                py::handle nstep_return, py::handle bootstrap_discount) {
        const py::array index = checked_ids("indices", indices);
        const py::ssize_t count = index.size();
        const auto slots_out = write<std::int64_t>("out.slots", slots, {count, buffer_.spec().window()});
        const RowPointers rows = write_rows(count, has_mask, action, reward, nstep_return, bootstrap_discount);
        const Unlocked unlocked;
        buffer_.locate(count, read<std::int64_t>(index), slots_out, rows);
    }

    // `self` keeps the buffer alive for as long as its views.
    static py::array frames(py::object self) {
        const auto& binding = self.cast<const Binding&>();
        return view(binding.buffer_.frames(), rows(binding.buffer_.spec().capacity, binding.frame_), self);
    }

    static py::array masks(py::object self) {
        const auto& binding = self.cast<const Binding&>();
        const ReplaySpec& spec = binding.buffer_.spec();
        return view(binding.buffer_.masks(), rows(spec.mask_bytes > 0 ? spec.capacity : 0, binding.mask_), self);
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

    static py::dict state_arrays(py::object self) {
        const auto& binding = self.cast<const Binding&>();
        const ReplaySpec& spec = binding.buffer_.spec();
        const ReplayState state = binding.buffer_.state();
        const ReplayCounters& counters = state.counters;
        const Shape per_frame{spec.capacity}, envs{spec.num_envs};
        py::dict arrays;
        arrays["frames"] = frames(self);
        arrays["masks"] = masks(self);
        arrays["has_mask"] = copied_flags(state.has_mask);
        arrays["action"] = copied(state.action, {spec.capacity, spec.action_dim});
        arrays["reward"] = copied(state.reward, per_frame);
        arrays["terminated"] = copied_flags(state.terminated);
        arrays["admitted"] = copied_flags(state.admitted);
        arrays["offset"] = copied(state.offset, per_frame);
        arrays["starts"] = copied(state.starts, {static_cast<py::ssize_t>(state.starts.size())});
        arrays["next_sequence"] = copied(state.next_sequence, envs);
        arrays["open"] = copied_flags(state.open);
        arrays["counters"] = copied<std::int64_t>(
            {counters.admitted, counters.dropped, counters.masks, counters.late_dropped}, {4});
        arrays["window"] = copied<std::int64_t>({spec.stack, spec.n_step}, {2});
        return arrays;
    }

    // The caller, semore_fast.replay, has run semore.replay_checks.check_state.
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
    py::ssize_t masks_kept() const { return buffer_.spec().mask_bytes > 0 ? buffer_.spec().n_step + 1 : 0; }

    RowPointers write_rows(py::ssize_t count, py::handle has_mask, py::handle action, py::handle reward,
                           py::handle nstep_return, py::handle bootstrap_discount) const {
        return {reinterpret_cast<std::uint8_t*>(write<bool>("out.has_mask", has_mask, {count, masks_kept()})),
                write<float>("out.action", action, {count, buffer_.spec().action_dim}),
                write<float>("out.reward", reward, {count}),
                write<float>("out.nstep_return", nstep_return, {count}),
                write<float>("out.bootstrap_discount", bootstrap_discount, {count})};
    }

    static Shape rows(py::ssize_t count, const Shape& each) {
        Shape shape{count};
        shape.insert(shape.end(), each.begin(), each.end());
        return shape;
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
        .def("withdraw", &Binding::withdraw)
        .def("gather", &Binding::gather)
        .def("locate", &Binding::locate)
        .def_property_readonly("frames", &Binding::frames)
        .def_property_readonly("masks", &Binding::masks)
        .def("stats", &Binding::stats)
        .def("state_arrays", &Binding::state_arrays)
        .def("load_state_arrays", &Binding::load_state_arrays)
        .def("__len__", &Binding::size);
}

}  // namespace semore
