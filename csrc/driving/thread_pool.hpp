// A small persistent thread pool for loops whose iterations do not touch each other.
#pragma once

#include <functional>
#include <memory>

namespace semore::driving {

class ThreadPool {
 public:
    // `threads` counts the caller, which works too; with 1 no thread is started.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const;

    // Calls body(index, worker) once for every index in [0, count), worker in [0, threads()). Which worker takes which
    // index is not fixed, so body must give the same result on any. Every index is tried even when some throw; then
    // the exception of the lowest index is rethrown. Throws std::runtime_error in a forked child, which has no threads.
    void for_each(int count, const std::function<void(int index, int worker)>& body);

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace semore::driving
