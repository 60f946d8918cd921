// A decoder's forward pass but for attention: odd sizes, f32 and bf16 in every mix, strided views,
// aliasing where the interface allows it.
#include <cmath>
#include <tuple>

#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

constexpr Layout kLayouts[] = {Layout::dense, Layout::strided};

class Forward : public Conformance {
 protected:
  // Calls body(type of x, type of y, layout) for every mix.
  template <class Body>
  static void each_mix(Body body) {
    for (DType in : {DType::f32, DType::bf16}) {
      for (DType out : {DType::f32, DType::bf16}) {
        for (Layout layout : kLayouts) {
          SCOPED_TRACE(testing::Message() << name_of(in) << " to " << name_of(out)
                                          << (layout == Layout::strided ? ", strided" : ""));
          body(in, out, layout);
        }
      }
    }
  }
};

struct LinearSize {
  int64_t tokens, in, out;
};
constexpr LinearSize kLinearSizes[] = {{1, 64, 48},   {1, 67, 33},    {3, 31, 17},
                                       {17, 130, 65}, {33, 257, 129}, {128, 96, 160}};

TEST_P(Forward, Linear) {
  each_mix([&](DType in, DType out, Layout layout) {
    for (const LinearSize& size : kLinearSizes) {
      for (bool with_bias : {false, true}) {
        SCOPED_TRACE(testing::Message() << "(" << size.tokens << ", " << size.in << ") to "
                                        << size.out << (with_bias ? ", bias" : ""));
        compare(
            [&](Backend& backend) {
              const Operand x(backend, random_matrix(size.tokens, size.in, 1), in, layout);
              const Matrix w = random_matrix(size.out, size.in, 2);
              const auto weight =
                  backend.prepare(ConstView{w.values.data(), w.rows, w.cols, w.cols}, in);
              const Operand bias(backend, random_matrix(1, size.out, 3), DType::f32, Layout::dense);
              const Operand y(backend, size.tokens, size.out, out, layout);
              backend.linear(x, *weight, with_bias ? bias.view() : View{}, y);
              return y.fetch();
            },
            tolerance_of(out));
      }
    }
  });
}

TEST_P(Forward, LinearAddsToItsResult) {
  for (DType in : {DType::f32, DType::bf16}) {
    for (Layout layout : kLayouts) {
      compare(
          [&](Backend& backend) {
            const Operand x(backend, random_matrix(19, 70, 4), in, layout);
            const Matrix w = random_matrix(45, 70, 5);
            const auto weight = backend.prepare(ConstView{w.values.data(), 45, 70, 70}, in);
            const Operand bias(backend, random_matrix(1, 45, 6), DType::f32, Layout::dense);
            const Operand y(backend, random_matrix(19, 45, 7), DType::f32, layout);
            backend.linear(x, *weight, bias.view(), y, true);
            return y.fetch();
          },
          Tolerance{});
    }
  }
}

TEST_P(Forward, LinearFromWeightsOfEveryType) {
  for (DType stored : {DType::f32, DType::bf16, DType::f16}) {
    for (DType compute : {DType::f32, DType::bf16}) {
      compare(
          [&](Backend& backend) {
            HostAllocator host;
            const Operand source(*reference_, random_matrix(21, 40, 8), stored, Layout::strided);
            const Operand x(backend, random_matrix(6, 40, 9), compute, Layout::dense);
            const auto weight = backend.prepare(ConstView(source), compute);
            EXPECT_EQ(weight->rows, 21);
            EXPECT_EQ(weight->cols, 40);
            EXPECT_EQ(weight->dtype, compute);
            const Operand y(backend, 6, 21, DType::f32, Layout::dense);
            backend.linear(x, *weight, {}, y);
            return y.fetch();
          },
          Tolerance{});
    }
  }
}

TEST_P(Forward, LinearFromCodes) {
  QuantizedMatrix quantized;
  quantized.grid.group_size = 32;
  quantized.rows = 10;
  quantized.cols = 64;
  for (int i = 0; i < 640; ++i) quantized.codes.push_back(static_cast<uint8_t>(i * 7 % 16));
  for (int i = 0; i < 20; ++i) quantized.scales.push_back(0.125f * static_cast<float>(1 + i));
  quantized.zeros.assign(20, 8);
  for (DType compute : {DType::f32, DType::bf16}) {
    compare(
        [&](Backend& backend) {
          const Operand x(backend, random_matrix(5, 64, 10), compute, Layout::dense);
          const auto weight = backend.prepare(quantized, compute);
          const Operand y(backend, 5, 10, DType::f32, Layout::dense);
          backend.linear(x, *weight, {}, y);
          return y.fetch();
        },
        Tolerance{});
  }
}

TEST_P(Forward, Embed) {
  each_mix([&](DType in, DType out, Layout layout) {
    compare(
        [&](Backend& backend) {
          const Operand table(backend, random_matrix(50, 37, 11), in, layout);
          const Operand y(backend, 6, 37, out, layout);
          const int32_t ids[] = {0, 49, 7, 7, 31, 2};
          backend.embed(ids, table, 6.0f, y);
          return y.fetch();
        },
        tolerance_of(out));
  });
}

TEST_P(Forward, Norm) {
  each_mix([&](DType in, DType out, Layout layout) {
    for (NormKind kind : {NormKind::rms, NormKind::layer}) {
      for (int64_t cols : {1, 8, 63, 576, 1153}) {
        // Gemma's offset and weighed rows are independent of each other: two of four will do.
        for (const bool plain : {true, false}) {
          const NormSpec spec{.kind = kind,
                              .epsilon = 1e-5f,
                              .gain_offset = plain ? 0.0f : 1.0f,
                              .weighed = !plain};
          compare(
              [&](Backend& backend) {
                const Operand x(backend, random_matrix(5, cols, 12), in, layout);
                const Operand gain(backend, random_matrix(1, cols, 13), DType::f32, Layout::dense);
                const Operand y(backend, 5, cols, out, layout);
                backend.norm(x, gain, spec, y);
                return y.fetch();
              },
              tolerance_of(out));
        }
      }
    }
  });
}

TEST_P(Forward, NormInPlace) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    compare(
        [&](Backend& backend) {
          const Operand x(backend, random_matrix(9, 77, 14), dtype, Layout::strided);
          const Operand gain(backend, random_matrix(1, 77, 15), DType::f32, Layout::dense);
          backend.norm(x, gain, {}, x);
          return x.fetch();
        },
        tolerance_of(dtype));
  }
}

TEST_P(Forward, AddNorm) {
  each_mix([&](DType in, DType out, Layout layout) {
    for (bool want_residual : {false, true}) {
      compare(
          [&](Backend& backend) {
            const Operand x(backend, random_matrix(7, 65, 16), in, layout);
            const Operand residual(backend, random_matrix(7, 65, 17), DType::f32, layout);
            const Operand gain(backend, random_matrix(1, 65, 18), DType::f32, Layout::dense);
            const Operand y(backend, 7, 65, out, layout);
            backend.add_norm(x, residual, gain, {}, y);
            return want_residual ? residual.fetch() : y.fetch();
          },
          tolerance_of(want_residual ? DType::f32 : out));
    }
  });
}

// Angles reach 30,000 radians: what is tested is that they are taken as f32 products.
TEST_P(Forward, Rope) {
  constexpr int kHeads = 3, kHeadDim = 10;
  const std::vector<int32_t> positions = {0, 1, 2, 17, 2047, 30000};
  each_mix([&](DType in, DType out, Layout layout) {
    for (int64_t pairs : {5, 3}) {  // all of the head; a part of it
      Matrix frequencies(1, pairs);
      for (int64_t i = 0; i < pairs; ++i)
        frequencies.at(0, i) = static_cast<float>(std::pow(1e4, -double(i) / double(pairs)));
      const RopeSpec spec{.heads = kHeads, .head_dim = kHeadDim, .magnitude = 1.25f};
      compare(
          [&](Backend& backend) {
            const Operand x(backend, random_matrix(6, kHeads * kHeadDim, 19), in, layout);
            const Operand f(backend, frequencies, DType::f32, Layout::dense);
            const Operand y(backend, 6, kHeads * kHeadDim, out, layout);
            backend.rope(x, positions, f, spec, y);
            return y.fetch();
          },
          tolerance_of(out));
    }
  });
}

TEST_P(Forward, RopeInPlace) {
  for (int head_dim : {64, 6}) {
    for (DType dtype : {DType::f32, DType::bf16}) {
      const std::vector<int32_t> positions = {5, 6, 511};
      compare(
          [&](Backend& backend) {
            const Operand x(backend, random_matrix(3, 2 * head_dim, 20), dtype, Layout::strided);
            const Operand f(backend, Matrix(1, head_dim / 2, 0.3f), DType::f32, Layout::dense);
            backend.rope(x, positions, f, {.heads = 2, .head_dim = head_dim}, x);
            return x.fetch();
          },
          tolerance_of(dtype));
    }
  }
}

TEST_P(Forward, GatedActivation) {
  each_mix([&](DType in, DType out, Layout layout) {
    for (Activation act : {Activation::silu, Activation::gelu_tanh, Activation::gelu}) {
      compare(
          [&](Backend& backend) {
            Matrix wide = random_matrix(5, 67, 21);
            for (float& value : wide.values) value *= 4;
            wide.at(0, 0) = -100, wide.at(0, 1) = 100, wide.at(0, 2) = 0, wide.at(0, 3) = -1e-6f;
            const Operand gate(backend, wide, in, layout);
            const Operand up(backend, random_matrix(5, 67, 22), in, layout);
            const Operand y(backend, 5, 67, out, layout);
            backend.gated_activation(gate, up, act, y);
            return y.fetch();
          },
          tolerance_of(out));
    }
  });
}

TEST_P(Forward, Add) {
  each_mix([&](DType in, DType out, Layout layout) {
    compare(
        [&](Backend& backend) {
          const Operand a(backend, random_matrix(4, 51, 23), in, layout);
          const Operand b(backend, random_matrix(4, 51, 24), out, layout);
          const Operand y(backend, 4, 51, out, layout);
          backend.add(a, b, y);
          backend.add(a, y, y);  // y may be b …
          backend.add(y, b, y);  // … or a
          return y.fetch();
        },
        tolerance_of(out));
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, Forward, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance
