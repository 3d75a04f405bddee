// The limits that memory sets, for the benchmarks to compare with: as many bytes copied, written or read in sequence, by
// the same stores.
#include "stream_copy.hpp"
#include "worker_pool.hpp"

#include <algorithm>
#include <vector>

extern "C" void* make_pool(int threads) { return new semore::WorkerPool(threads); }

extern "C" void free_pool(void* pool) { delete static_cast<semore::WorkerPool*>(pool); }

extern "C" void copy_rows(void* pool, std::uint8_t* to, const std::uint8_t* from, std::int64_t rows,
                          std::int64_t row_bytes) {
    static_cast<semore::WorkerPool*>(pool)->run(rows, 2, [=](std::int64_t begin, std::int64_t end, int) {
        semore::stream_copy(to + begin * row_bytes, from + begin * row_bytes,
                            static_cast<std::size_t>((end - begin) * row_bytes));
        semore::stream_fence();
    });
}

extern "C" void write_bytes(void* pool, std::uint8_t* to, std::int64_t bytes) {
    constexpr std::int64_t block = 1 << 14;
    static_cast<semore::WorkerPool*>(pool)->run(bytes, 16 * block, [=](std::int64_t begin, std::int64_t end, int) {
        static const std::vector<std::uint8_t> pattern(block, 63);  // stays in the first caches
        for (; begin < end; begin += block)
            semore::stream_copy(to + begin, pattern.data(), static_cast<std::size_t>(std::min(block, end - begin)));
        semore::stream_fence();
    });
}

// A sum, so that nothing is left out.
extern "C" std::uint64_t read_words(void* pool, const std::uint64_t* from, std::int64_t words) {
    auto* workers = static_cast<semore::WorkerPool*>(pool);
    std::vector<std::uint64_t> sums(8 * workers->threads());  // a cache line each
    workers->run(words, 1 << 17, [&](std::int64_t begin, std::int64_t end, int worker) {
        std::uint64_t sum = 0;
        for (; begin < end; ++begin) sum += from[begin];
        sums[8 * worker] += sum;
    });
    std::uint64_t total = 0;
    for (const std::uint64_t sum : sums) total += sum;
    return total;
}
