// Copies that bypass the cache on the way out: for output much larger than the cache, an ordinary store first reads
// the line it is about to overwrite, which costs a third of the memory traffic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

// SSE2 is part of every x86-64; wider registers do not make memory faster.
#if defined(__SSE2__)
#define SEMORE_HAS_STREAM_STORES 1
#include <emmintrin.h>
#else
#define SEMORE_HAS_STREAM_STORES 0
#endif

namespace semore {

// Copies like memcpy with non-temporal stores where the machine has them. Call stream_fence() before another thread
// reads the destination.
inline void stream_copy(std::uint8_t* destination, const std::uint8_t* source, std::size_t bytes) {
#if SEMORE_HAS_STREAM_STORES
    constexpr std::size_t line_bytes = 64, least_bytes = 1024, prefetch_bytes = 1024;
    if (bytes < least_bytes) {
        std::memcpy(destination, source, bytes);
        return;
    }
    const std::size_t head = (line_bytes - reinterpret_cast<std::uintptr_t>(destination) % line_bytes) % line_bytes;
    std::memcpy(destination, source, head);
    std::size_t at = head;
    for (; at + line_bytes <= bytes; at += line_bytes) {
        const auto* from = reinterpret_cast<const __m128i*>(source + at);
        auto* to = reinterpret_cast<__m128i*>(destination + at);
        const std::size_t ahead = at + prefetch_bytes < bytes ? at + prefetch_bytes : at;
        _mm_prefetch(reinterpret_cast<const char*>(source + ahead), _MM_HINT_NTA);
        const __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
        const __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
        _mm_stream_si128(to, a);
        _mm_stream_si128(to + 1, b);
        _mm_stream_si128(to + 2, c);
        _mm_stream_si128(to + 3, d);
    }
    std::memcpy(destination + at, source + at, bytes - at);
#else
    std::memcpy(destination, source, bytes);
#endif
}

// Makes earlier streaming stores visible in order with what follows.
inline void stream_fence() {
#if SEMORE_HAS_STREAM_STORES
    _mm_sfence();
#endif
}

}  // namespace semore
