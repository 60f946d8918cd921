// Functions up to end.inl may use AVX2 and FMA; see begin_avx512.inl.
#pragma GCC diagnostic push
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
