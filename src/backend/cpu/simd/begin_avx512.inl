// Functions up to end.inl may use AVX-512 (F, BW, DQ, VL). Only our own code may stand between: an
// inline function of a library would be compiled for this set and might serve the whole program.
#pragma GCC diagnostic push
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
// GCC 12 takes its own _mm512_undefined_ps() for a mistake (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
