// Python's view of the trunk: tensors come as addresses that semore_fast/trunk_cpp.py has checked.
#include "trunk/trunk.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace semore {

namespace {

namespace py = pybind11;
using Address = std::uintptr_t;
using Addresses = std::vector<Address>;
// Of each layer: kernel height and width, stride, channels.
using Shape = std::array<std::int64_t, 4>;

const float* values(Address address) { return reinterpret_cast<const float*>(address); }
float* results(Address address) { return reinterpret_cast<float*>(address); }

std::vector<trunk::Layer> layers_of(std::int64_t height, std::int64_t width, std::int64_t channels,
                                    const std::vector<Shape>& shapes) {
    std::vector<trunk::Layer> layers;
    for (const auto& [kernel_height, kernel_width, stride, out_channels] : shapes) {
        const std::string number = "layer " + std::to_string(layers.size() + 1);
        if (kernel_height < 1 || kernel_width < 1 || stride < 1 || out_channels < 1)
            throw std::invalid_argument(number + ": kernel, stride and channels must be at least 1");
        if (height < kernel_height || width < kernel_width)
            throw std::invalid_argument(number + ": a kernel of " + std::to_string(kernel_height) + " x " +
                                        std::to_string(kernel_width) + " does not fit a map of " +
                                        std::to_string(height) + " x " + std::to_string(width));
        layers.push_back({height, width, channels, kernel_height, kernel_width, stride, out_channels});
        if (layers.back().in_map() > std::numeric_limits<std::int32_t>::max() / 2)
            throw std::invalid_argument(number + ": maps of more than 2^30 values are not supported");
        height = layers.back().height(), width = layers.back().width(), channels = out_channels;
    }
    return layers;
}

trunk::Trunk trunk_of(std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
                      const std::vector<Shape>& shapes, const Addresses& weights, const Addresses& biases,
                      int threads) {
    if (batch < 1 || channels < 1 || shapes.empty()) throw std::invalid_argument("pictures must not be empty");
    if (threads < 1) throw std::invalid_argument("threads must be at least 1, is " + std::to_string(threads));
    std::vector<trunk::Weights> given;
    for (std::size_t at = 0; at < shapes.size(); ++at) given.push_back({values(weights.at(at)), values(biases.at(at))});
    return {layers_of(height, width, channels, shapes), std::move(given), batch, trunk::usable_kernels().back()};
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
