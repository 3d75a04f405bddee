// The kernels of shapes.hpp, written once and included by instruction_sets.hpp for every set, each time in a namespace of
// its own that has said what a `Vector` is and how many rows of two vectors stay in registers (`tile_rows`). Every sum
// of products is a tile: rows are pixels (or places of a window), columns are channels, and each step reads two vectors
// of weights (or gradients) once and adds their products to all rows.

using std::int32_t;
using std::int64_t;

constexpr int64_t lanes = sizeof(Vector) / sizeof(float);
constexpr int64_t columns = 2 * lanes;
constexpr int64_t pixels_at_once = 128;  // whose gradients stay in the first cache while windows pass

struct Tile {
    Vector sum[tile_rows][2];
};

SEMORE_INLINE void load(const float* from, Vector& to) { __builtin_memcpy(&to, from, sizeof to); }
SEMORE_INLINE void store(const Vector& from, float* to) { __builtin_memcpy(to, &from, sizeof from); }

SEMORE_INLINE void clear(Tile& tile) {
#pragma GCC unroll 16
    for (int row = 0; row < tile_rows; ++row) tile.sum[row][0] = tile.sum[row][1] = Vector{};
}

// Adds the products of two vectors at `pair` and each row's value at rows[row][at].
SEMORE_INLINE void add_products(const float* pair, const float* const (&rows)[tile_rows], int64_t at, Tile& tile) {
    Vector low, high;
    load(pair, low);
    load(pair + lanes, high);
#pragma GCC unroll 16
    for (int row = 0; row < tile_rows; ++row) {
        tile.sum[row][0] += low * rows[row][at];
        tile.sum[row][1] += high * rows[row][at];
    }
}

// Adds to[0, count) += the tile's row.
SEMORE_INLINE void add_row(const Tile& tile, int row, int64_t count, float* to) {
    if (count >= columns) {
        Vector low, high;
        load(to, low);
        load(to + lanes, high);
        store(low + tile.sum[row][0], to);
        store(high + tile.sum[row][1], to + lanes);
        return;
    }
    float sums[columns];
    store(tile.sum[row][0], sums);
    store(tile.sum[row][1], sums + lanes);
    for (int64_t i = 0; i < count; ++i) to[i] += sums[i];
}

inline void pack(const Layer& layer, const float* weights, float* panels) {
    const int64_t window = layer.window();
    for (int64_t first = 0; first < layer.channels; first += columns)
        for (int64_t at = 0; at < window; ++at)
            for (int64_t channel = first; channel < first + columns; ++channel)
                *panels++ = channel < layer.channels ? weights[channel * window + at] : 0.0f;
}

inline void pack_transposed(const Layer& layer, const float* weights, float* panels) {
    for (int64_t ky = 0; ky < layer.kernel_height; ++ky)
        for (int64_t first = 0; first < layer.run(); first += columns)
            for (int64_t channel = 0; channel < layer.channels; ++channel) {
                const float* from = weights + channel * layer.window() + ky * layer.run();
                for (int64_t at = first; at < first + columns; ++at) *panels++ = at < layer.run() ? from[at] : 0.0f;
            }
}

SEMORE_INLINE void store_activated(const Tile& tile, int row, int64_t count, float* to) {
    const Vector zero{};
    const Vector low = tile.sum[row][0] > zero ? tile.sum[row][0] : zero;
    const Vector high = tile.sum[row][1] > zero ? tile.sum[row][1] : zero;
    if (count >= columns) {
        store(low, to);
        store(high, to + lanes);
        return;
    }
    float values[columns];
    store(low, values);
    store(high, values + lanes);
    for (int64_t i = 0; i < count; ++i) to[i] = values[i];
}

inline void forward(const Layer& layer, const float* in, const int32_t* corner, int64_t pixels, const float* panels,
                    const float* bias, float* out) {
    const int64_t run = layer.run(), row_step = layer.in_row();
    for (int64_t first = 0; first < layer.channels; first += columns, panels += layer.window() * columns) {
        const int64_t count = layer.channels - first < columns ? layer.channels - first : columns;
        float biases[columns] = {};
        for (int64_t i = 0; i < count; ++i) biases[i] = bias[first + i];
        for (int64_t pixel = 0; pixel < pixels; pixel += tile_rows) {
            const int64_t rows = pixels - pixel < tile_rows ? pixels - pixel : tile_rows;
            const float* at[tile_rows];
            Tile tile;
#pragma GCC unroll 16
            for (int row = 0; row < tile_rows; ++row) {
                at[row] = in + corner[pixel + (row < rows ? row : rows - 1)];
                load(biases, tile.sum[row][0]);
                load(biases + lanes, tile.sum[row][1]);
            }
            const float* panel = panels;
            for (int64_t ky = 0; ky < layer.kernel_height; ++ky) {
                for (int64_t i = 0; i < run; ++i, panel += columns) add_products(panel, at, i, tile);
#pragma GCC unroll 16
                for (int row = 0; row < tile_rows; ++row) at[row] += row_step;
            }
            float* to = out + pixel * layer.channels + first;
#pragma GCC unroll 16
            for (int row = 0; row < tile_rows; ++row)
                if (row < rows) store_activated(tile, row, count, to + row * layer.channels);
        }
    }
}

// Gradients are read in whole panels: `columns` floats behind the last must be readable.
inline void add_weight_slopes(const Layer& layer, const float* in, const int32_t* corner, int64_t pixels,
                              const float* gradient, float* slopes) {
    const int64_t window = layer.window(), run = layer.run();
    const int64_t padded = (layer.channels + columns - 1) / columns * columns;
    for (int64_t begin = 0; begin < pixels; begin += pixels_at_once) {
        const int64_t end = pixels - begin < pixels_at_once ? pixels : begin + pixels_at_once;
        for (int64_t place = 0; place < window; place += tile_rows) {
            const int64_t rows = window - place < tile_rows ? window - place : tile_rows;
            const float* at[tile_rows];
            for (int row = 0; row < tile_rows; ++row) {
                const int64_t mine = place + (row < rows ? row : rows - 1);
                at[row] = in + mine / run * layer.in_row() + mine % run;
            }
            for (int64_t first = 0; first < layer.channels; first += columns) {
                Tile tile;
                clear(tile);
                const float* from = gradient + begin * layer.channels + first;
                for (int64_t pixel = begin; pixel < end; ++pixel, from += layer.channels)
                    add_products(from, at, corner[pixel], tile);
                float* to = slopes + place * padded + first;
#pragma GCC unroll 16
                for (int row = 0; row < tile_rows; ++row)
                    if (row < rows) add_row(tile, row, columns, to + row * padded);
            }
        }
    }
}

inline void add_input_slopes(const Layer& layer, const float* gradient, const int32_t* corner, int64_t pixels,
                             const float* panels, float* in_gradient) {
    const int64_t run = layer.run(), channels = layer.channels;
    for (int64_t ky = 0; ky < layer.kernel_height; ++ky)
        for (int64_t first = 0; first < run; first += columns, panels += channels * columns) {
            const int64_t count = run - first < columns ? run - first : columns;
            float* const to = in_gradient + ky * layer.in_row() + first;
            for (int64_t pixel = 0; pixel < pixels; pixel += tile_rows) {
                const int64_t rows = pixels - pixel < tile_rows ? pixels - pixel : tile_rows;
                const float* from[tile_rows];
                for (int row = 0; row < tile_rows; ++row)
                    from[row] = gradient + (pixel + (row < rows ? row : rows - 1)) * channels;
                Tile tile;
                clear(tile);
                const float* panel = panels;
                for (int64_t channel = 0; channel < channels; ++channel, panel += columns)
                    add_products(panel, from, channel, tile);
#pragma GCC unroll 16
                for (int row = 0; row < tile_rows; ++row)
                    if (row < rows) add_row(tile, row, count, to + corner[pixel + row]);
            }
        }
}

inline void mask(const Layer& layer, const float* map, const float* upstream, int64_t pixels, float* gradient,
                 float* bias_slopes) {
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        const int64_t at = pixel * layer.channels;
        SEMORE_INDEPENDENT
        for (int64_t i = 0; i < layer.channels; ++i) {
            const float value = map[at + i] > 0 ? upstream[at + i] : 0.0f;
            gradient[at + i] = value;
            bias_slopes[i] += value;
        }
    }
}

inline Kernels kernels(const char* name) {
    return {name, columns, pack, pack_transposed, forward, add_weight_slopes, add_input_slopes, mask};
}
