// Every instruction set's trunk against convolutions written pixel by pixel in double, forwards and backwards, in memory
// of exactly the size asked for. Run under ASan and UBSan.
#include "trunk/trunk.hpp"

#include "check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

// The widest tiles on any processor: the compiler makes narrower instructions of them.
namespace semore::trunk::wide {
typedef float Vector __attribute__((vector_size(64)));
constexpr int tile_rows = 12;
#include "trunk/tiles.inc.hpp"
}  // namespace semore::trunk::wide

using namespace semore::trunk;
using Values = std::vector<float>;
using Exact = std::vector<double>;

namespace {

struct Case {
    std::int64_t batch, height, width, channels;
    std::vector<Shape> layers;
};

const Case cases[] = {
    {5, 9, 8, 3, {{3, 3, 2, 4}, {2, 2, 1, 7}}},
    {1, 5, 5, 9, {{3, 3, 1, 33}}},
    {19, 13, 11, 2, {{5, 3, 2, 32}, {3, 3, 1, 40}, {1, 2, 2, 5}}},
    {3, 70, 70, 6, {{3, 3, 2, 32}, {3, 3, 1, 32}}},
    {130, 3, 3, 1, {{3, 3, 1, 1}}},
};

Values noise(std::int64_t count, float scale, std::mt19937& random) {
    std::normal_distribution<float> normal(0, scale);
    Values values(count);
    for (float& value : values) value = normal(random);
    return values;
}

// Calls visit(output, input, weight) for every product of one sample.
template <class Visit>
void products(const Layer& l, Visit visit) {
    for (std::int64_t y = 0; y < l.height(); ++y)
        for (std::int64_t x = 0; x < l.width(); ++x)
            for (std::int64_t channel = 0; channel < l.channels; ++channel)
                for (std::int64_t ky = 0; ky < l.kernel_height; ++ky)
                    for (std::int64_t i = 0; i < l.run(); ++i)
                        visit((y * l.width() + x) * l.channels + channel,
                              (y * l.stride + ky) * l.in_row() + x * l.stride * l.in_channels + i,
                              channel * l.window() + ky * l.run() + i);
}

void check_near(const float* got, const Exact& wanted, double tolerance) {
    double scale = 1e-3;
    for (const double value : wanted) scale = std::max(scale, std::fabs(value));
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(std::fabs(got[i] - wanted[i]) <= tolerance * scale);
}

struct Results {
    std::vector<Values> maps, weight_slopes, bias_slopes;
    Values in_slopes;
};

class Fixture {
public:
    explicit Fixture(const Case& c) : c_(c), layers_(layers_of(c.height, c.width, c.channels, c.layers)), random_(7) {
        in_ = noise(c.batch * layers_[0].in_map(), 1, random_);
        for (const Layer& layer : layers_) {
            const float scale = 1 / std::sqrt(static_cast<float>(layer.window()));
            weights_.push_back(noise(layer.channels * layer.window(), scale, random_));
            biases_.push_back(noise(layer.channels, 0.1f, random_));
        }
        upstream_ = noise(c.batch * layers_.back().map(), 1, random_);
    }

    Results run(const Kernels& kernels, int threads) const {
        std::vector<Weights> given;
        for (std::size_t at = 0; at < layers_.size(); ++at) given.push_back({weights_[at].data(), biases_[at].data()});
        const Trunk trunk(layers_, given, c_.batch, kernels);
        Results results;
        std::vector<float*> maps, last_alone(layers_.size(), nullptr);
        for (const Layer& layer : layers_) results.maps.emplace_back(c_.batch * layer.map(), NAN);
        for (Values& map : results.maps) maps.push_back(map.data());
        trunk.forward(in_.data(), maps, threads);
        Values alone(results.maps.back().size(), NAN);
        last_alone.back() = alone.data();
        trunk.forward(in_.data(), last_alone, threads);
        CHECK(alone == results.maps.back());
        backward(trunk, maps, results, threads);
        return results;
    }

    void check(const Results& got) const {
        Values slopes_above = upstream_;
        for (std::size_t at = layers_.size(); at-- > 0;) {
            check_forward(at, got);
            slopes_above = check_backward(at, got, slopes_above);
        }
        check_near(got.in_slopes.data(), Exact(slopes_above.begin(), slopes_above.end()), 1e-5);
    }

private:
    void backward(const Trunk& trunk, const std::vector<float*>& maps, Results& results, int threads) const {
        std::vector<WeightSlopes> slopes;
        for (std::size_t at = 0; at < layers_.size(); ++at) {
            results.weight_slopes.emplace_back(weights_[at].size(), NAN);
            results.bias_slopes.emplace_back(biases_[at].size(), NAN);
        }
        for (std::size_t at = 0; at < layers_.size(); ++at)
            slopes.push_back({results.weight_slopes[at].data(), results.bias_slopes[at].data()});
        const std::vector<const float*> known(maps.begin(), maps.end());
        results.in_slopes.assign(in_.size(), NAN);
        trunk.backward(in_.data(), known, upstream_.data(), slopes, results.in_slopes.data(), threads);
        const Values before = results.weight_slopes[0];
        trunk.backward(in_.data(), known, upstream_.data(), slopes, nullptr, threads);
        CHECK(before == results.weight_slopes[0]);
    }

    const Values& below(std::size_t at, const Results& got) const { return at ? got.maps[at - 1] : in_; }

    // Each layer from the one below it as it was computed, so that errors do not add up.
    void check_forward(std::size_t at, const Results& got) const {
        const Layer& layer = layers_[at];
        for (std::int64_t sample = 0; sample < c_.batch; ++sample) {
            const float* in = below(at, got).data() + sample * layer.in_map();
            Exact wanted(layer.map());
            for (std::int64_t i = 0; i < layer.map(); ++i) wanted[i] = biases_[at][i % layer.channels];
            products(layer, [&](auto out, auto from, auto weight) {
                wanted[out] += static_cast<double>(in[from]) * weights_[at][weight];
            });
            for (double& value : wanted) value = std::max(value, 0.0);
            check_near(got.maps[at].data() + sample * layer.map(), wanted, 1e-5);
        }
    }

    // Returns the slopes by the layer's input, from those by its map.
    Values check_backward(std::size_t at, const Results& got, const Values& above) const {
        const Layer& layer = layers_[at];
        Exact by_weight(weights_[at].size()), by_bias(layer.channels), by_in(c_.batch * layer.in_map());
        for (std::int64_t sample = 0; sample < c_.batch; ++sample) {
            const std::int64_t first = sample * layer.map(), first_in = sample * layer.in_map();
            const float* in = below(at, got).data() + first_in;
            Exact gradient(layer.map());
            for (std::int64_t i = 0; i < layer.map(); ++i) {
                gradient[i] = got.maps[at][first + i] > 0 ? above[first + i] : 0;
                by_bias[i % layer.channels] += gradient[i];
            }
            products(layer, [&](auto out, auto from, auto weight) {
                by_weight[weight] += gradient[out] * in[from];
                by_in[first_in + from] += gradient[out] * weights_[at][weight];
            });
        }
        check_near(got.weight_slopes[at].data(), by_weight, 1e-5);
        check_near(got.bias_slopes[at].data(), by_bias, 1e-5);
        return Values(by_in.begin(), by_in.end());
    }

    const Case& c_;
    const std::vector<Layer> layers_;
    std::mt19937 random_;
    Values in_, upstream_;
    std::vector<Values> weights_, biases_;
};

bool same(const Results& one, const Results& other) {
    return one.maps == other.maps && one.weight_slopes == other.weight_slopes &&
           one.bias_slopes == other.bias_slopes && one.in_slopes == other.in_slopes;
}

}  // namespace

int main() {
    std::vector<Kernels> sets = usable_kernels();
    sets.push_back(wide::kernels("wide"));
    for (const Case& c : cases) {
        const Fixture fixture(c);
        for (const Kernels& kernels : sets) {
            const Results alone = fixture.run(kernels, 1);
            fixture.check(alone);
            CHECK(same(alone, fixture.run(kernels, 3)));
        }
    }
    std::printf("trunk: ok (%zu kernel sets)\n", sets.size());
}
