// One source, several instruction sets: the loader picks the widest that the machine has. Include this first in a file
// of hot loops. Results do not depend on the choice: multiplications and additions are never fused, and the two options
// below only drop errno and floating-point exception flags, which nobody reads and which keep loops from vectorising.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-math-errno", "no-trapping-math", "fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif

#include <cstdint>  // defines __GLIBC__

// The loader chooses before ThreadSanitizer is ready for instrumented code, so that build has one instruction set.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(SEMORE_ONE_ISA)
#define SEMORE_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define SEMORE_CLONES
#endif

// The next loop's iterations touch different elements, whatever its pointers look like.
#if defined(__clang__)
#define SEMORE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define SEMORE_INDEPENDENT _Pragma("GCC ivdep")
#endif

// A piece of a hot loop: compiled into each clone, for that clone's instruction set.
#define SEMORE_INLINE __attribute__((always_inline)) inline
