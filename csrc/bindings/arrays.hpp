// Arguments from Python as arrays of a known type, shape and layout, or an error that names them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

namespace semore {

namespace py = pybind11;

using Shape = std::vector<py::ssize_t>;

inline std::string text(py::handle object) { return py::str(object); }

inline std::string text(const Shape& shape) {
    py::tuple tuple(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) tuple[i] = shape[i];
    return text(tuple);
}

// The messages are those of semore.replay_checks.check_array.
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

inline void require_contiguous(const char* name, const py::array& array) {
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

inline py::array checked_ids(const char* name, py::handle object) {
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
inline const std::uint8_t* read_flags(const py::array& array) { return static_cast<const std::uint8_t*>(array.data()); }

// One that is to be written.
template <typename T>
T* write(const char* name, py::handle object, const Shape& shape) {
    py::array array = checked<T>(name, object, shape);
    if (!array.writeable()) throw py::value_error(std::string(name) + " must be writeable");
    return static_cast<T*>(array.mutable_data());
}

}  // namespace semore
