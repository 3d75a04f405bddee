// One source, several instruction sets: the loader picks the widest that the machine has. Results do not depend on the
// choice: none of these sets contains a fused multiply-add unless the compiler is told to contract, and it is not.
#pragma once

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(SEMORE_ONE_ISA)
#define SEMORE_CLONES __attribute__((target_clones("default", "avx2")))
#else
#define SEMORE_CLONES
#endif
