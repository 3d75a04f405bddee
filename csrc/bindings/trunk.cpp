// Python's view of the trunk: tensors come as addresses that semore_fast/trunk_cpp.py has checked.
#include "trunk/trunk.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace semore {

namespace {

namespace py = pybind11;
using Address = std::uintptr_t;
using Addresses = std::vector<Address>;
using trunk::Shape;

const float* values(Address address) { return reinterpret_cast<const float*>(address); }
float* results(Address address) { return reinterpret_cast<float*>(address); }

trunk::Trunk trunk_of(std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
                      const std::vector<Shape>& shapes, const Addresses& weights, const Addresses& biases,
                      int threads) {
    if (batch < 1 || channels < 1 || shapes.empty()) throw std::invalid_argument("pictures must not be empty");
    if (threads < 1) throw std::invalid_argument("threads must be at least 1, is " + std::to_string(threads));
    std::vector<trunk::Weights> given;
    for (std::size_t at = 0; at < shapes.size(); ++at) given.push_back({values(weights.at(at)), values(biases.at(at))});
    return {trunk::layers_of(height, width, channels, shapes), std::move(given), batch, trunk::usable_kernels().back()};
}

void forward(std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
             const std::vector<Shape>& layers, Address in, const Addresses& weights, const Addresses& biases,
             const Addresses& maps, int threads) {
    const trunk::Trunk made = trunk_of(batch, height, width, channels, layers, weights, biases, threads);
    std::vector<float*> out;
    for (std::size_t at = 0; at < layers.size(); ++at) out.push_back(results(maps.at(at)));
    const py::gil_scoped_release release;
    made.forward(values(in), out, threads);
}

void backward(std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
              const std::vector<Shape>& layers, Address in, const Addresses& weights, const Addresses& biases,
              const Addresses& maps, Address upstream, const Addresses& weight_slopes, const Addresses& bias_slopes,
              Address in_slopes, int threads) {
    const trunk::Trunk made = trunk_of(batch, height, width, channels, layers, weights, biases, threads);
    std::vector<const float*> known;
    std::vector<trunk::WeightSlopes> slopes;
    for (std::size_t at = 0; at < layers.size(); ++at) {
        known.push_back(values(maps.at(at)));
        slopes.push_back({results(weight_slopes.at(at)), results(bias_slopes.at(at))});
    }
    const py::gil_scoped_release release;
    made.backward(values(in), known, values(upstream), slopes, results(in_slopes), threads);
}

}  // namespace

void bind_trunk(py::module_& module) {
    using py::arg;
    module.def(
        "trunk_instruction_set", [] { return trunk::usable_kernels().back().name; },
        "Name of the instruction set that trunks use on this processor.");
    module.def("trunk_forward", &forward, py::kw_only(), arg("batch"), arg("height"), arg("width"), arg("channels"),
               arg("layers"), arg("picture"), arg("weights"), arg("biases"), arg("maps"), arg("threads"),
               "Fill each layer's maps at the given addresses of float32, channels last; 0 for one between that is not "
               "wanted. `layers` holds (kernel height, kernel width, stride, channels). Addresses are not checked: "
               "call semore_fast.trunk_cpp.trunk.");
    module.def("trunk_backward", &backward, py::kw_only(), arg("batch"), arg("height"), arg("width"), arg("channels"),
               arg("layers"), arg("picture"), arg("weights"), arg("biases"), arg("maps"), arg("upstream"),
               arg("weight_slopes"), arg("bias_slopes"), arg("picture_slopes"), arg("threads"),
               "Fill the slopes of every weight, bias and, unless its address is 0, the picture, from the last map's.");
}

}  // namespace semore
