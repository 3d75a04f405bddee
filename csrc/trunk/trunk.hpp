// A trunk forwards and backwards, the C++ twin of semore.ops.trunk: a few samples at a time go through all layers, so
// that the maps between two layers never leave the second cache.
#pragma once

#include "instruction_sets.hpp"
#include "shapes.hpp"

#include "../worker_pool.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace semore::trunk {

struct Weights {
    const float* weights;  // [channels, kernel_height, kernel_width, in_channels]
    const float* bias;     // [channels]
};

struct WeightSlopes {
    float* weights;  // shaped as the weights
    float* bias;
};

constexpr std::int64_t slices = 8;  // of a batch, whose slopes are summed apart: the same sums on any number of threads

class Trunk {
public:
    // `layers` fit one another; what `weights` points to must outlive this.
    Trunk(std::vector<Layer> layers, std::vector<Weights> weights, std::int64_t batch, const Kernels& kernels)
        : layers_(std::move(layers)), weights_(std::move(weights)), batch_(batch), kernels_(kernels),
          samples_(samples_at_once()) {
        for (const Layer& layer : layers_) {
            corners_.push_back(corners(layer, samples_));
            largest_map_ = std::max({largest_map_, layer.map(), layer.in_map()});
        }
    }

    // in [batch, in_height, in_width, in_channels]; maps [batch, height, width, channels] of each layer, the last one
    // the result; null for those between that nobody wants.
    void forward(const float* in, const std::vector<float*>& maps, int threads) const {
        std::vector<std::vector<float>> panels;
        for (std::size_t at = 0; at < layers_.size(); ++at) {
            panels.emplace_back(panels_of(layers_[at].channels) * layers_[at].window());
            kernels_.pack(layers_[at], weights_[at].weights, panels.back().data());
        }
        WorkerPool& pool = pool_of_this_thread(threads);
        std::vector<Scratch> scratch(pool.threads());
        pool.run(groups(), 1, [&](std::int64_t begin, std::int64_t end, int worker) {
            prepare(scratch[worker]);
            for (std::int64_t group = begin; group < end; ++group)
                forward_group(group, in, maps, panels, scratch[worker]);
        });
    }

    // As above, with all maps at hand and `upstream` shaped as the last one. Fills `slopes` of every layer and, unless
    // null, `in_slopes`, shaped as `in`.
    void backward(const float* in, const std::vector<const float*>& maps, const float* upstream,
                  const std::vector<WeightSlopes>& slopes, float* in_slopes, int threads) const {
        std::vector<std::vector<float>> panels;
        for (std::size_t at = 0; at < layers_.size(); ++at) {
            const Layer& layer = layers_[at];
            panels.emplace_back(layer.kernel_height * panels_of(layer.run()) * layer.channels);
            if (at > 0 || in_slopes) kernels_.pack_transposed(layer, weights_[at].weights, panels.back().data());
        }
        const std::int64_t count = std::min(slices, groups());
        std::vector<Sums> sums(count);
        WorkerPool& pool = pool_of_this_thread(threads);
        std::vector<Scratch> scratch(pool.threads());
        pool.run(count, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
            prepare(scratch[worker]);
            for (std::int64_t slice = begin; slice < end; ++slice) {
                sums[slice] = cleared_sums();
                for (std::int64_t group = slice * groups() / count; group < (slice + 1) * groups() / count; ++group)
                    backward_group(group, in, maps, upstream, panels, in_slopes, sums[slice], scratch[worker]);
            }
        });
        for (std::size_t at = 0; at < layers_.size(); ++at) gather(sums, at, slopes[at]);
    }

private:
    using Panels = std::vector<std::vector<float>>;

    // What one thread passes from layer to layer; room behind for reading whole panels.
    struct Scratch {
        std::unique_ptr<float[]> one, other;
    };

    // Of one slice, for each layer: [window, channels rounded up to whole panels], [channels].
    struct Sums {
        std::vector<std::vector<float>> weights, bias;
    };

    std::int64_t samples_at_once() const {
        constexpr std::int64_t room_bytes = 192 << 10, most = 16;  // of a second cache of 512 kB or more
        std::int64_t sample_bytes = 1;
        for (const Layer& layer : layers_)
            sample_bytes = std::max<std::int64_t>(sample_bytes, (layer.map() + layer.in_map()) * sizeof(float));
        return std::clamp<std::int64_t>(room_bytes / sample_bytes, 1, std::min(most, batch_));
    }

    std::int64_t groups() const { return (batch_ + samples_ - 1) / samples_; }
    std::int64_t panels_of(std::int64_t channels) const { return rounded_up(channels, kernels_.columns); }

    void prepare(Scratch& scratch) const {
        if (scratch.one) return;
        const std::int64_t room = samples_ * largest_map_ + kernels_.columns;
        scratch.one = std::make_unique<float[]>(room);
        scratch.other = std::make_unique<float[]>(room);
    }

    void forward_group(std::int64_t group, const float* in, const std::vector<float*>& maps, const Panels& panels,
                       Scratch& scratch) const {
        const std::int64_t first = group * samples_, samples = std::min(samples_, batch_ - first);
        const float* from = in + first * layers_[0].in_map();
        for (std::size_t at = 0; at < layers_.size(); ++at) {
            const Layer& layer = layers_[at];
            float* to = maps[at] ? maps[at] + first * layer.map() : (at % 2 ? scratch.one : scratch.other).get();
            kernels_.forward(layer, from, corners_[at].data(), samples * layer.pixels(), panels[at].data(),
                             weights_[at].bias, to);
            from = to;
        }
    }

    void backward_group(std::int64_t group, const float* in, const std::vector<const float*>& maps,
                        const float* upstream, const Panels& panels, float* in_slopes, Sums& sums,
                        Scratch& scratch) const {
        const std::int64_t first = group * samples_, samples = std::min(samples_, batch_ - first);
        float* const gradient = scratch.one.get();
        const float* above = upstream + first * layers_.back().map();
        for (std::size_t at = layers_.size(); at-- > 0;) {
            const Layer& layer = layers_[at];
            const std::int32_t* corner = corners_[at].data();
            const std::int64_t pixels = samples * layer.pixels();
            const float* below = at ? maps[at - 1] + first * layer.in_map() : in + first * layer.in_map();
            kernels_.mask(layer, maps[at] + first * layer.map(), above, pixels, gradient, sums.bias[at].data());
            kernels_.add_weight_slopes(layer, below, corner, pixels, gradient, sums.weights[at].data());
            if (at == 0 && !in_slopes) return;
            float* to = at ? scratch.other.get() : in_slopes + first * layer.in_map();
            std::fill_n(to, samples * layer.in_map(), 0.0f);
            kernels_.add_input_slopes(layer, gradient, corner, pixels, panels[at].data(), to);
            above = to;
        }
    }

    Sums cleared_sums() const {
        Sums sums;
        for (const Layer& layer : layers_) {
            sums.weights.emplace_back(layer.window() * panels_of(layer.channels));
            sums.bias.emplace_back(layer.channels);
        }
        return sums;
    }

    // The slices' sums, one after another, in the weights' own order.
    void gather(std::vector<Sums>& sums, std::size_t at, const WeightSlopes& to) const {
        const std::int64_t channels = layers_[at].channels, window = layers_[at].window();
        std::vector<float>&total = sums[0].weights[at], &bias = sums[0].bias[at];
        for (std::size_t slice = 1; slice < sums.size(); ++slice) {
            for (std::size_t i = 0; i < total.size(); ++i) total[i] += sums[slice].weights[at][i];
            for (std::int64_t i = 0; i < channels; ++i) bias[i] += sums[slice].bias[at][i];
        }
        std::copy(bias.begin(), bias.end(), to.bias);
        for (std::int64_t channel = 0; channel < channels; ++channel)
            for (std::int64_t i = 0; i < window; ++i)
                to.weights[channel * window + i] = total[i * panels_of(channels) + channel];
    }

    const std::vector<Layer> layers_;
    const std::vector<Weights> weights_;
    const std::int64_t batch_;
    const Kernels kernels_;
    const std::int64_t samples_;  // in a group
    std::int64_t largest_map_ = 0;
    std::vector<std::vector<std::int32_t>> corners_;
};

}  // namespace semore::trunk
