// Which vector instructions this processor has, asked at run time: each kernel is compiled once for
// each set, between the begin_*.inl and end.inl of this folder.
#pragma once

#include <cstdint>
#include <vector>

namespace halftone {

enum class InstructionSet : uint8_t { portable, avx2, avx512 };

inline bool has_instructions(InstructionSet set) {
  switch (set) {
    case InstructionSet::portable:
      return true;
    case InstructionSet::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case InstructionSet::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return false;
}

inline InstructionSet best_instructions() {
  if (has_instructions(InstructionSet::avx512)) return InstructionSet::avx512;
  if (has_instructions(InstructionSet::avx2)) return InstructionSet::avx2;
  return InstructionSet::portable;
}

}  // namespace halftone
