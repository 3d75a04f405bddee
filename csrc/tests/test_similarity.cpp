// The distance and its slopes against the formula written window by window in double. Run under ASan and UBSan.
#include "similarity.hpp"

#include "check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

using namespace semore;

namespace {

struct Case {
    std::int64_t batch, height, width, channels, window;
    std::int64_t size() const { return height * width * channels; }
    std::int64_t count() const { return (height - window + 1) * (width - window + 1) * channels; }
};

double square(double value) { return value * value; }

// Of one sample; `range` is given, since the slopes hold it fixed.
double distance(const Case& c, const double* x, const double* y, double range) {
    const double area = static_cast<double>(c.window * c.window), c1 = square(0.01 * range), c2 = square(0.03 * range);
    double total = 0;
    for (std::int64_t row = 0; row + c.window <= c.height; ++row)
        for (std::int64_t column = 0; column + c.window <= c.width; ++column)
            for (std::int64_t channel = 0; channel < c.channels; ++channel) {
                double sx = 0, sy = 0, squares = 0, product = 0;
                for (std::int64_t i = row; i < row + c.window; ++i)
                    for (std::int64_t j = column; j < column + c.window; ++j) {
                        const std::int64_t at = (i * c.width + j) * c.channels + channel;
                        sx += x[at] / area;
                        sy += y[at] / area;
                        squares += (square(x[at]) + square(y[at])) / area;
                        product += x[at] * y[at] / area;
                    }
                const double means = square(sx) + square(sy);
                total += (2 * sx * sy + c1) / (means + c1) * (2 * (product - sx * sy) + c2) / (squares - means + c2);
            }
    return 1 - total / static_cast<double>(c.count());
}

double range_of(const std::vector<double>& y) {
    const auto ends = std::minmax_element(y.begin(), y.end());
    return std::max(*ends.second - *ends.first, 1e-2);
}

std::vector<double> sample_of(const std::vector<float>& maps, const Case& c, std::int64_t sample) {
    return {maps.begin() + sample * c.size(), maps.begin() + (sample + 1) * c.size()};
}

double slope(const Case& c, std::vector<double> x, std::vector<double> y, std::int64_t at, bool by_x) {
    constexpr double step = 1e-4;
    const double range = range_of(y);
    double& value = (by_x ? x : y)[at];
    const double middle = value;
    value = middle + step;
    const double above = distance(c, x.data(), y.data(), range);
    value = middle - step;
    return (above - distance(c, x.data(), y.data(), range)) / (2 * step);
}

void check_case(const Case& c, int threads) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    std::vector<float> x(c.batch * c.size()), y(x.size()), dx(x.size()), dy(x.size()), got(c.batch), again(c.batch);
    for (std::size_t i = 0; i < x.size(); ++i) {
        y[i] = normal(random);
        x[i] = 0.7f * y[i] + 0.5f * normal(random);
    }
    const MapPair in{c.batch, c.height, c.width, c.channels, c.window, x.data(), y.data()};
    ssim_distance(in, {got.data(), dx.data(), dy.data()}, threads);
    ssim_distance(in, {again.data(), nullptr, nullptr}, 1);
    CHECK(got == again);
    for (std::int64_t sample = 0; sample < c.batch; ++sample) {
        const auto one = sample_of(x, c, sample), other = sample_of(y, c, sample);
        CHECK(std::fabs(distance(c, one.data(), other.data(), range_of(other)) - got[sample]) < 1e-5);
        const double scale = 1 / static_cast<double>(c.count());
        for (std::int64_t at = 0; at < c.size(); at += std::max<std::int64_t>(1, c.size() / 40)) {
            CHECK(std::fabs(slope(c, one, other, at, true) - dx[sample * c.size() + at]) < 1e-3 * scale);
            CHECK(std::fabs(slope(c, one, other, at, false) - dy[sample * c.size() + at]) < 1e-3 * scale);
        }
    }
}

}  // namespace

int main() {
    for (const int threads : {1, 3})
        for (const Case& c : {Case{5, 6, 7, 3, 3}, Case{1, 3, 3, 1, 3}, Case{9, 5, 4, 2, 1}, Case{2, 9, 8, 5, 7}})
            check_case(c, threads);
    std::puts("similarity: ok");
}
