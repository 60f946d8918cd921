// Copies convert and round once; fills and copies stay within their views.
#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

class Memory : public Conformance {};

TEST_P(Memory, CopiesBetweenTypesBitForBit) {
  for (DType from : kFloats) {
    for (DType to : kFloats) {
      for (Layout layout : {Layout::dense, Layout::strided}) {
        SCOPED_TRACE(testing::Message() << name_of(from) << " to " << name_of(to));
        compare(
            [&](Backend& backend) {
              const Operand source(backend, random_matrix(5, 67, 1), from, layout);
              const Operand result(backend, 5, 67, to, layout);
              backend.copy(source, result);
              return result.fetch();
            },
            kExact);
      }
    }
  }
}

TEST_P(Memory, ConvertsF64BothWays) {
  compare(
      [](Backend& backend) {
        const Operand source(backend, random_matrix(9, 33, 2), DType::f32, Layout::dense);
        const Tensor wide = backend.allocate(9, 33, DType::f64);
        backend.copy(source, wide);
        const Operand result(backend, 9, 33, DType::f32, Layout::strided);
        backend.copy(wide, result);
        return result.fetch();
      },
      kExact);
}

TEST_P(Memory, CopiesADiagonal) {
  compare(
      [](Backend& backend) {
        const Operand square(backend, random_matrix(19, 19, 3), DType::f32, Layout::dense);
        View diagonal = square.view();
        diagonal.cols = 1;
        diagonal.ld = 20;
        const Operand result(backend, 19, 1, DType::f32, Layout::dense);
        backend.copy(diagonal, result);
        return result.fetch();
      },
      kExact);
}

TEST_P(Memory, FillsOnlyTheView) {
  for (DType dtype : kFloats) {
    compare(
        [&](Backend& backend) {
          const Operand filled(backend, 7, 35, dtype, Layout::strided);
          backend.fill(filled, -1.5f);
          return filled.fetch();
        },
        kExact);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Memory, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance
