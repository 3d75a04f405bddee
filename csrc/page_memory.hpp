// A large zeroed block that costs memory only where it is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#define SEMORE_HAS_MMAP 1
#include <sys/mman.h>
#else
#define SEMORE_HAS_MMAP 0
#endif

namespace semore {

class PageMemory {
public:
    explicit PageMemory(std::size_t bytes) : bytes_(bytes) {
        if (bytes == 0) return;
#if SEMORE_HAS_MMAP
        void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        // Windows are read at random: with 4 KiB pages each would cost a dozen address translations. Advice only.
        madvise(block, bytes, MADV_HUGEPAGE);
#endif
#else
        void* block = std::calloc(bytes, 1);
        if (block == nullptr) throw std::bad_alloc();
#endif
        data_ = static_cast<std::uint8_t*>(block);
    }

    ~PageMemory() {
        if (data_ == nullptr) return;
#if SEMORE_HAS_MMAP
        munmap(data_, bytes_);
#else
        std::free(data_);
#endif
    }

    PageMemory(const PageMemory&) = delete;
    PageMemory& operator=(const PageMemory&) = delete;

    std::uint8_t* data() { return data_; }
    const std::uint8_t* data() const { return data_; }
    std::size_t bytes() const { return bytes_; }

private:
    std::uint8_t* data_ = nullptr;
    std::size_t bytes_;
};

}  // namespace semore
