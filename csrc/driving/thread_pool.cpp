#include "thread_pool.hpp"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace semore::driving {

namespace {

struct Loop {
    const std::function<void(int, int)>* body = nullptr;
    int count = 0;
    std::atomic<int> next{0};
    std::mutex error_mutex;
    int error_index = 0;
    std::exception_ptr error;

    void run(int worker) {
        for (int index = next.fetch_add(1); index < count; index = next.fetch_add(1)) {
            try {
                (*body)(index, worker);
            } catch (...) {  // any type: it is carried to the caller unchanged, never dropped
                const std::lock_guard<std::mutex> lock(error_mutex);
                if (!error || index < error_index) {
                    error = std::current_exception();
                    error_index = index;
                }
            }
        }
    }
};

}  // namespace

struct ThreadPool::State {
    std::vector<std::thread> threads;
    pid_t owner = getpid();
    std::mutex mutex;
    std::condition_variable wake, finished;
    Loop* loop = nullptr;
    unsigned long generation = 0;
    int working = 0;
    bool stopping = false;

    void work(int worker) {
        unsigned long seen = 0;
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) {
            wake.wait(lock, [&] { return stopping || generation != seen; });
            if (stopping) return;
            seen = generation;
            Loop* current = loop;
            lock.unlock();
            current->run(worker);
            lock.lock();
            if (--working == 0) finished.notify_one();
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

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
    if (threads < 1) throw std::invalid_argument("threads must be at least 1, is " + std::to_string(threads));
    State& state = *state_;
    state.threads.reserve(threads - 1);
    try {
        for (int worker = 1; worker < threads; ++worker)
            state.threads.emplace_back([&state, worker] { state.work(worker); });
    } catch (const std::system_error& error) {
        state.stop();
        throw std::runtime_error("cannot start " + std::to_string(threads) + " threads: " + error.what());
    }
}

ThreadPool::~ThreadPool() {
    if (state_->owner == getpid()) {
        state_->stop();
        return;
    }
    // A forked child has none of the threads: joining them, or destroying what they wait on, would hang for ever.
    for (std::thread& thread : state_->threads) thread.detach();
    if (!state_->threads.empty()) state_.release();
}

int ThreadPool::threads() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::for_each(int count, const std::function<void(int, int)>& body) {
    Loop loop;
    loop.body = &body;
    loop.count = count;
    State& state = *state_;
    if (state.threads.empty() || count <= 1) {
        loop.run(0);
    } else {
        if (state.owner != getpid())
            throw std::runtime_error("the simulator's threads did not survive fork(); make it in the child, or use threads=1");
        std::unique_lock<std::mutex> lock(state.mutex);
        state.loop = &loop;
        state.working = static_cast<int>(state.threads.size());
        ++state.generation;
        lock.unlock();
        state.wake.notify_all();
        loop.run(0);
        lock.lock();
        state.finished.wait(lock, [&] { return state.working == 0; });
    }
    if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace semore::driving
