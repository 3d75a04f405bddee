// The limit that bench_replay.py compares gather with: the same bytes copied in sequence, by the same stores.
#include "stream_copy.hpp"
#include "worker_pool.hpp"

extern "C" void* make_pool(int threads) { return new semore::WorkerPool(threads); }

extern "C" void free_pool(void* pool) { delete static_cast<semore::WorkerPool*>(pool); }

extern "C" void copy_rows(void* pool, std::uint8_t* to, const std::uint8_t* from, std::int64_t rows,
                          std::int64_t row_bytes) {
    static_cast<semore::WorkerPool*>(pool)->run(rows, 2, [=](std::int64_t begin, std::int64_t end) {
        semore::stream_copy(to + begin * row_bytes, from + begin * row_bytes,
                            static_cast<std::size_t>((end - begin) * row_bytes));
        semore::stream_fence();
    });
}
