// Threads kept alive between loops over rows; the calling thread works along.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace semore {

inline long process_id() {
#if defined(__unix__) || defined(__APPLE__)
    return static_cast<long>(getpid());
#else
    return 0;
#endif
}

class WorkerPool {
public:
    using Rows = std::function<void(std::int64_t begin, std::int64_t end)>;  // must not throw

    explicit WorkerPool(int threads) : process_(process_id()) {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { serve(); });
    }

    ~WorkerPool() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // A forked child inherits this object but none of its threads: waiting for them would never end.
    bool usable_here() const { return process_ == process_id(); }

    // Runs rows(begin, end) over [0, count) in chunks, and returns when every row is done. One caller at a time.
    void run(std::int64_t count, std::int64_t chunk, const Rows& rows) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            rows_ = &rows;
            count_ = count;
            chunk_ = chunk;
            next_.store(0, std::memory_order_relaxed);
            ++generation_;
        }
        wake_.notify_all();
        work(rows, count, chunk);
        std::unique_lock<std::mutex> lock(mutex_);
        // On a busy machine a worker may not have woken yet. Every row is claimed: it is not waited for.
        rows_ = nullptr;
        done_.wait(lock, [this] { return active_ == 0; });
    }

private:
    // Chunks are claimed, not dealt: a thread that the machine slows down takes fewer.
    void work(const Rows& rows, std::int64_t count, std::int64_t chunk) {
        for (;;) {
            const std::int64_t begin = next_.fetch_add(chunk, std::memory_order_relaxed);
            if (begin >= count) return;
            rows(begin, std::min(begin + chunk, count));
        }
    }

    void serve() {
        std::uint64_t seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return stopping_ || (rows_ != nullptr && generation_ != seen); });
            if (stopping_) return;
            seen = generation_;
            ++active_;
            const Rows& rows = *rows_;
            const std::int64_t count = count_, chunk = chunk_;
            lock.unlock();
            work(rows, count, chunk);
            lock.lock();
            if (--active_ == 0) done_.notify_one();
        }
    }

    const long process_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    std::atomic<std::int64_t> next_{0};
    const Rows* rows_ = nullptr;
    std::int64_t count_ = 0, chunk_ = 1;
    std::uint64_t generation_ = 0;
    int active_ = 0;  // workers inside the current loop
    bool stopping_ = false;
};

}  // namespace semore
