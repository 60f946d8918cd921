// Which of the quantizer's kernels go with an instruction set.
#include "backend/cpu/simd/quantizer_kernels.h"

namespace halftone::simd {

const QuantizerKernels& quantizer_kernels_for(Isa isa) {
  switch (isa) {
    case Isa::avx512_bf16:
    case Isa::avx512:
      return kAvx512QuantizerKernels;
    case Isa::avx2:
      return kAvx2QuantizerKernels;
    case Isa::scalar:
      break;
  }
  return kScalarQuantizerKernels;
}

}  // namespace halftone::simd
