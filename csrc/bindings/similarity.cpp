// Python's view of the similarity loss: tensors come as addresses that semore_fast/ops_cpp.py has checked.
#include "similarity.hpp"

#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace semore {

namespace {

namespace py = pybind11;
using Address = std::uintptr_t;

void measure(std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels, std::int64_t window,
             Address x, Address y, Address distance, Address dx, Address dy, int threads) {
    if (batch < 1 || height < 1 || width < 1 || channels < 1) throw std::invalid_argument("maps must not be empty");
    if (window < 1 || window > std::min(height, width))
        throw std::invalid_argument("window must be in [1, " + std::to_string(std::min(height, width)) + "], is " +
                                    std::to_string(window));
    if (threads < 1) throw std::invalid_argument("threads must be at least 1, is " + std::to_string(threads));
    const auto maps = [](Address address) { return reinterpret_cast<const float*>(address); };
    const auto results = [](Address address) { return reinterpret_cast<float*>(address); };
    const py::gil_scoped_release release;
    ssim_distance({batch, height, width, channels, window, maps(x), maps(y)},
                  {results(distance), results(dx), results(dy)}, threads);
}

}  // namespace

void bind_similarity(py::module_& module) {
    using py::arg;
    module.def("ssim_distance", &measure, py::kw_only(), arg("batch"), arg("height"), arg("width"), arg("channels"),
               arg("window"), arg("x"), arg("y"), arg("distance"), arg("dx"), arg("dy"), arg("threads"),
               "Fill the distance of each sample, and where wanted its slopes, at the given addresses of float32, maps "
               "channels last; 0 is none. Addresses are not checked: call semore_fast.ops_cpp.ssim_distance.");
}

}  // namespace semore
