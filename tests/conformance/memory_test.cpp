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

// To the host's memory and back to another place, beside the queue that computes.
TEST_P(Memory, TransfersWaitForWhatTheyAreTold) {
  compare(
      [](Backend& backend) {
        const Operand source(backend, random_matrix(37, 65, 4), DType::f32, Layout::dense);
        const Tensor host(backend.transfer_allocator(), 37, 65, DType::f32);
        const Operand result(backend, 37, 65, DType::f32, Layout::dense);
        for (int i = 0; i < 3; ++i) {
          backend.add(source, source, source.view());
          const Event computed = backend.record(Queue::compute);
          const Event left = backend.transfer(std::span(&computed, 1), source, host);
          const Event arrived = backend.transfer(std::span(&left, 1), host, result);
          backend.wait(Queue::compute, arrived);
        }
        return result.fetch();
      },
      kExact);
}

// Where a backend gives a weight back, it is what its products take.
TEST_P(Memory, RestoresPreparedWeights) {
  for (const DType type : {DType::f32, DType::bf16}) {
    compare(
        [&](Backend& backend) {
          const Operand stored(backend, random_matrix(19, 35, 5), type, Layout::dense);
          const Tensor host(backend.host_allocator(), 19, 35, type);
          backend.download(stored, host);
          const Operand result(backend, 19, 35, DType::f32, Layout::dense);
          const auto weight = backend.prepare(host, type);
          if (!backend.restore(*weight, result)) backend.copy(stored, result);
          return result.fetch();
        },
        kExact);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Memory, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance
