// What a trunk's passes know about its layers: convolutions without padding, a ReLU after each, maps channels last.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace semore::trunk {

struct Layer {
    std::int64_t in_height, in_width, in_channels, kernel_height, kernel_width, stride, channels;

    std::int64_t height() const { return (in_height - kernel_height) / stride + 1; }
    std::int64_t width() const { return (in_width - kernel_width) / stride + 1; }
    std::int64_t pixels() const { return height() * width(); }
    std::int64_t map() const { return pixels() * channels; }
    std::int64_t in_row() const { return in_width * in_channels; }
    std::int64_t in_map() const { return in_height * in_row(); }
    // Channels last, what one row of a window holds lies side by side.
    std::int64_t run() const { return kernel_width * in_channels; }
    std::int64_t window() const { return kernel_height * run(); }
};

// Of a layer: kernel height and width, stride, channels.
using Shape = std::array<std::int64_t, 4>;

// Layers that read one another's maps, the first one a picture.
inline std::vector<Layer> layers_of(std::int64_t height, std::int64_t width, std::int64_t channels,
                                    const std::vector<Shape>& shapes) {
    std::vector<Layer> layers;
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

// Where each pixel of a group of samples has its window's corner in the maps that the layer reads.
inline std::vector<std::int32_t> corners(const Layer& layer, std::int64_t samples) {
    std::vector<std::int32_t> at;
    at.reserve(samples * layer.pixels());
    for (std::int64_t sample = 0; sample < samples; ++sample)
        for (std::int64_t y = 0; y < layer.height(); ++y)
            for (std::int64_t x = 0; x < layer.width(); ++x)
                at.push_back(static_cast<std::int32_t>(sample * layer.in_map() + y * layer.stride * layer.in_row() +
                                                       x * layer.stride * layer.in_channels));
    return at;
}

inline std::int64_t rounded_up(std::int64_t count, std::int64_t to) { return (count + to - 1) / to * to; }

// What one instruction set makes of a layer. `pixels` are those of a group of samples; `corner` as above.
struct Kernels {
    const char* name;
    std::int64_t columns;  // channels come in panels of so many; maps that are read in panels need as many floats more

    // weights [channels, window] -> panels [blocks, window, columns], zeros beside the last channel
    void (*pack)(const Layer&, const float* weights, float* panels);
    // -> panels [kernel_height, blocks of a run, channels, columns]
    void (*pack_transposed)(const Layer&, const float* weights, float* panels);
    // out [pixels, channels] = max(0, bias + window x weights)
    void (*forward)(const Layer&, const float* in, const std::int32_t* corner, std::int64_t pixels, const float* panels,
                    const float* bias, float* out);
    // slopes [window, channels rounded up to columns] += sum over pixels of window x gradient
    void (*add_weight_slopes)(const Layer&, const float* in, const std::int32_t* corner, std::int64_t pixels,
                              const float* gradient, float* slopes);
    // in_gradient += gradient x weights, at every window's place
    void (*add_input_slopes)(const Layer&, const float* gradient, const std::int32_t* corner, std::int64_t pixels,
                             const float* panels, float* in_gradient);
    // gradient where the map is above zero, elsewhere 0; bias_slopes [channels] += its sum over pixels
    void (*mask)(const Layer&, const float* map, const float* upstream, std::int64_t pixels, float* gradient,
                 float* bias_slopes);
};

}  // namespace semore::trunk
