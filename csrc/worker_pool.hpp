// Threads kept alive between loops over rows; the calling thread works along.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
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
    // `worker` is in [0, threads()). Which worker takes which rows is not fixed: the result must be the same on any.
    using Rows = std::function<void(std::int64_t begin, std::int64_t end, int worker)>;

    // `threads` counts the caller; with 1 no thread is started.
    explicit WorkerPool(int threads) : state_(std::make_unique<State>()) {
        if (threads < 1) throw std::invalid_argument("threads must be at least 1, is " + std::to_string(threads));
        State& state = *state_;
        try {
            for (int worker = 1; worker < threads; ++worker)
                state.threads.emplace_back([&state, worker] { state.serve(worker); });
        } catch (const std::system_error& error) {
            state.stop();
            throw std::runtime_error("cannot start " + std::to_string(threads) + " threads: " + error.what());
        }
    }

    ~WorkerPool() {
        if (usable_here()) {
            state_->stop();
            return;
        }
        for (std::thread& thread : state_->threads) thread.detach();
        static_cast<void>(state_.release());  // destroying what its threads wait on would hang for ever
    }

    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    int threads() const { return static_cast<int>(state_->threads.size()) + 1; }

    // A forked child inherits this object but none of its threads: waiting for them would never end.
    bool usable_here() const { return state_->threads.empty() || state_->process == process_id(); }

    // Runs rows(begin, end, worker) over [0, count) in chunks, and returns when every row is done. Every chunk is tried
    // even when some throw; then the exception of the first chunk that did is rethrown. One caller at a time.
    void run(std::int64_t count, std::int64_t chunk, const Rows& rows) {
        if (!usable_here())
            throw std::runtime_error("threads do not survive fork(); make this object in the child, or use threads=1");
        State& state = *state_;
        std::unique_lock<std::mutex> lock(state.mutex);
        state.rows = &rows;
        state.count = count;
        state.chunk = chunk;
        state.next = 0;
        state.error = nullptr;
        ++state.generation;
        if (!state.threads.empty() && count > chunk) state.wake.notify_all();
        state.work(0, lock);
        // On a busy machine a worker may not have woken yet. Every row is claimed: it is not waited for.
        state.rows = nullptr;
        state.done.wait(lock, [&] { return state.active == 0; });
        if (state.error) std::rethrow_exception(state.error);
    }

private:
    struct State {
        const long process = process_id();
        std::mutex mutex;
        std::condition_variable wake, done;
        std::vector<std::thread> threads;
        const Rows* rows = nullptr;
        std::int64_t count = 0, chunk = 1, next = 0;
        std::uint64_t generation = 0;
        int active = 0;  // workers inside the current loop
        bool stopping = false;
        std::int64_t error_begin = 0;
        std::exception_ptr error;

        // Chunks are claimed, not dealt: a thread that the machine slows down takes fewer. Called and left with the lock.
        void work(int worker, std::unique_lock<std::mutex>& lock) {
            const Rows& loop = *rows;
            while (next < count) {
                const std::int64_t begin = next, end = std::min(next + chunk, count);
                next = end;
                lock.unlock();
                std::exception_ptr caught;
                try {
                    loop(begin, end, worker);
                } catch (...) {  // any type: it is carried to the caller unchanged, never dropped
                    caught = std::current_exception();
                }
                lock.lock();
                if (caught && (!error || begin < error_begin)) {
                    error = caught;
                    error_begin = begin;
                }
            }
        }

        void serve(int worker) {
            std::uint64_t seen = 0;
            std::unique_lock<std::mutex> lock(mutex);
            for (;;) {
                wake.wait(lock, [&] { return stopping || (rows != nullptr && generation != seen); });
                if (stopping) return;
                seen = generation;
                ++active;
                work(worker, lock);
                if (--active == 0) done.notify_one();
            }
        }

        void stop() {
            {
                const std::lock_guard<std::mutex> lock(mutex);
                stopping = true;
            }
            wake.notify_all();
            for (std::thread& thread : threads) thread.join();
        }
    };

    std::unique_ptr<State> state_;
};

// A pool of the calling thread's own, kept for its next call: starting threads costs more than a small loop does.
inline WorkerPool& pool_of_this_thread(int threads) {
    thread_local std::unique_ptr<WorkerPool> pool;
    if (!pool || pool->threads() != threads || !pool->usable_here()) pool = std::make_unique<WorkerPool>(threads);
    return *pool;
}

}  // namespace semore
