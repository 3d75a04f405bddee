// 1 - SSIM between feature maps and its slopes, the C++ twin of semore.ops.ssim_distance. Maps are channels last, so
// that every loop below runs along memory: over the columns and channels of one row.
#pragma once

#include "instruction_sets.hpp"  // first: it decides how what follows is compiled

#include "worker_pool.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace semore {

struct MapPair {
    std::int64_t batch, height, width, channels, window;
    const float *x, *y;  // [batch, height, width, channels]; y is the one whose range counts

    std::int64_t row() const { return width * channels; }
    std::int64_t rows_of_windows() const { return height - window + 1; }
    std::int64_t window_row() const { return (width - window + 1) * channels; }
};

struct Distances {
    float* distance;  // [batch]
    float *dx, *dy;   // of a sample's distance by its maps, shaped as these; null for what is not wanted
};

namespace similarity {

constexpr float k1 = 0.01f, k2 = 0.03f;  // Wang et al. 2004
constexpr float least_range = 1e-2f;     // keeps the constants above zero when a map is flat

// What windows are summed over: x, y, x^2 + y^2 and x y; and what the distance's slopes by their means are called.
constexpr int kinds = 4;
enum Kind { X, Y, SQUARES, PRODUCT };

SEMORE_CLONES inline void add_row(const float* x, const float* y, std::int64_t count, float* sum_x, float* sum_y,
                                  float* squares, float* product) {
    SEMORE_INDEPENDENT
    for (std::int64_t i = 0; i < count; ++i) {
        sum_x[i] += x[i];
        sum_y[i] += y[i];
        squares[i] += x[i] * x[i] + y[i] * y[i];
        product[i] += x[i] * y[i];
    }
}

SEMORE_CLONES inline void add(const float* more, std::int64_t count, float* sum) {
    SEMORE_INDEPENDENT
    for (std::int64_t i = 0; i < count; ++i) sum[i] += more[i];
}

// sum[i] = values[i] + values[i + step] + ..., `window` of them.
SEMORE_CLONES inline void slide(const float* values, std::int64_t count, std::int64_t step, std::int64_t window,
                                float* sum) {
    std::copy(values, values + count, sum);
    for (std::int64_t at = 1; at < window; ++at) {
        const float* shifted = values + at * step;
        SEMORE_INDEPENDENT
        for (std::int64_t i = 0; i < count; ++i) sum[i] += shifted[i];
    }
}

struct Constants {
    float area, c1, c2;
    float share;  // of a window in the distance's slope
};

// Overwrites sums over windows with the slopes by their means, and gives each window's similarity.
SEMORE_CLONES inline void compare(const Constants& k, std::int64_t count, float* x, float* y, float* squares,
                                  float* product, float* similarity) {
    SEMORE_INDEPENDENT
    for (std::int64_t i = 0; i < count; ++i) {
        const float mean_x = x[i] / k.area, mean_y = y[i] / k.area;
        const float means = mean_x * mean_y, mean_squares = mean_x * mean_x + mean_y * mean_y;
        const float below_luminance = mean_squares + k.c1;
        const float below_structure = squares[i] / k.area - mean_squares + k.c2;
        const float luminance = (2 * means + k.c1) / below_luminance;
        const float structure = (2 * (product[i] / k.area - means) + k.c2) / below_structure;
        similarity[i] = luminance * structure;
        const float by_luminance = 2 * structure / below_luminance * k.share;
        const float by_structure = 2 * luminance / below_structure * k.share;
        x[i] = (mean_y - luminance * mean_x) * by_luminance + (structure * mean_x - mean_y) * by_structure;
        y[i] = (mean_x - luminance * mean_y) * by_luminance + (structure * mean_y - mean_x) * by_structure;
        squares[i] = -0.5f * structure * by_structure;
        product[i] = by_structure;
    }
}

// The slope by a map, from the slopes by the means that its values are in: d mean(x^2) = 2 x, d mean(x y) = y.
SEMORE_CLONES inline void chain(const float* mine, const float* other, const float* by_mean, const float* by_squares,
                                const float* by_product, std::int64_t count, float* slope) {
    SEMORE_INDEPENDENT
    for (std::int64_t i = 0; i < count; ++i)
        slope[i] = by_mean[i] + 2 * mine[i] * by_squares[i] + other[i] * by_product[i];
}

// One sample after another; owns what a thread needs for it.
class Comparer {
public:
    explicit Comparer(const MapPair& in)
        : in_(in), margin_((in.window - 1) * in.channels), columns_(kinds, std::vector<float>(in.row() + 2 * margin_)),
          windows_(kinds, std::vector<float>(in.rows_of_windows() * in.window_row())), spread_(columns_),
          similarity_(in.window_row()) {}

    void compare_sample(std::int64_t sample, const Distances& out) {
        const std::int64_t first = sample * in_.height * in_.row();
        const float *x = in_.x + first, *y = in_.y + first;
        const auto range = std::minmax_element(y, y + in_.height * in_.row());
        const float span = std::max(*range.second - *range.first, least_range);
        const auto area = static_cast<float>(in_.window * in_.window);
        const std::int64_t count = in_.rows_of_windows() * in_.window_row();
        const Constants constants{area, (k1 * span) * (k1 * span), (k2 * span) * (k2 * span),
                                  -1.0f / (area * static_cast<float>(count))};
        double total = 0;
        for (std::int64_t row = 0; row < in_.rows_of_windows(); ++row) total += compare_row(x, y, row, constants);
        out.distance[sample] = static_cast<float>(1 - total / static_cast<double>(count));
        if (!out.dx && !out.dy) return;
        for (std::int64_t row = 0; row < in_.height; ++row) {
            spread_row(row);
            const std::int64_t at = row * in_.row();
            write_slope(X, x + at, y + at, out.dx ? out.dx + first + at : nullptr);
            write_slope(Y, y + at, x + at, out.dy ? out.dy + first + at : nullptr);
        }
    }

private:
    // A row of windows: their slopes into windows_, the sum of their similarities back.
    double compare_row(const float* x, const float* y, std::int64_t row, const Constants& constants) {
        float *sums[kinds], *windows[kinds];
        for (int kind = 0; kind < kinds; ++kind) {
            std::fill(columns_[kind].begin(), columns_[kind].end(), 0.0f);
            sums[kind] = columns_[kind].data();
            windows[kind] = windows_[kind].data() + row * in_.window_row();
        }
        for (std::int64_t at = row * in_.row(); at < (row + in_.window) * in_.row(); at += in_.row())
            add_row(x + at, y + at, in_.row(), sums[X], sums[Y], sums[SQUARES], sums[PRODUCT]);
        for (int kind = 0; kind < kinds; ++kind)
            slide(sums[kind], in_.window_row(), in_.channels, in_.window, windows[kind]);
        compare(constants, in_.window_row(), windows[X], windows[Y], windows[SQUARES], windows[PRODUCT],
                similarity_.data());
        double total = 0;
        for (const float similarity : similarity_) total += similarity;
        return total;
    }

    // For a row of pixels the sums of the slopes of all windows that hold a pixel.
    void spread_row(std::int64_t row) {
        const std::int64_t begin = std::max<std::int64_t>(0, row - in_.window + 1);
        const std::int64_t end = std::min(row, in_.rows_of_windows() - 1);
        for (int kind = 0; kind < kinds; ++kind) {
            float* padded = columns_[kind].data();  // no windows to the left and right of the first and last
            std::fill(columns_[kind].begin(), columns_[kind].end(), 0.0f);
            for (std::int64_t at = begin; at <= end; ++at)
                add(windows_[kind].data() + at * in_.window_row(), in_.window_row(), padded + margin_);
            slide(padded, in_.row(), in_.channels, in_.window, spread_[kind].data());
        }
    }

    void write_slope(Kind kind, const float* mine, const float* other, float* slope) {
        if (slope)
            chain(mine, other, spread_[kind].data(), spread_[SQUARES].data(), spread_[PRODUCT].data(), in_.row(),
                  slope);
    }

    const MapPair& in_;
    std::int64_t margin_;
    std::vector<std::vector<float>> columns_, windows_, spread_;
    std::vector<float> similarity_;
};

}  // namespace similarity

// Fills what `out` asks for on `threads` threads. Windows must fit the maps.
inline void ssim_distance(const MapPair& in, const Distances& out, int threads) {
    constexpr std::int64_t chunk = 4;
    WorkerPool& pool = pool_of_this_thread(threads);
    std::vector<std::optional<similarity::Comparer>> comparers(pool.threads());
    pool.run(in.batch, chunk, [&](std::int64_t begin, std::int64_t end, int worker) {
        if (!comparers[worker]) comparers[worker].emplace(in);
        for (std::int64_t sample = begin; sample < end; ++sample) comparers[worker]->compare_sample(sample, out);
    });
}

}  // namespace semore
