// The kernels of tiles.inc.hpp for each instruction set, and which of them this processor runs. Products and sums are
// fused where the processor can, so that rounding differs between sets.
#pragma once

#include "../instruction_sets.hpp"  // first: it decides how what follows is compiled
#include "shapes.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(SEMORE_ONE_ISA)
#define SEMORE_TRUNK_X86 1
#else
#define SEMORE_TRUNK_X86 0
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
#endif

namespace semore::trunk::portable {
typedef float Vector __attribute__((vector_size(16)));
constexpr int tile_rows = 6;
#include "tiles.inc.hpp"
}  // namespace semore::trunk::portable

#if SEMORE_TRUNK_X86
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace semore::trunk::avx2 {
typedef float Vector __attribute__((vector_size(32)));
constexpr int tile_rows = 6;  // 12 of 16 registers
#include "tiles.inc.hpp"
}  // namespace semore::trunk::avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace semore::trunk::avx512 {
typedef float Vector __attribute__((vector_size(64)));
constexpr int tile_rows = 12;  // 24 of 32 registers
#include "tiles.inc.hpp"
}  // namespace semore::trunk::avx512
#pragma GCC pop_options
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

namespace semore::trunk {

// The fastest last.
inline std::vector<Kernels> usable_kernels() {
    std::vector<Kernels> usable{portable::kernels("portable")};
#if SEMORE_TRUNK_X86
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return usable;
    usable.push_back(avx2::kernels("avx2"));
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        usable.push_back(avx512::kernels("avx512"));
#endif
    return usable;
}

}  // namespace semore::trunk
