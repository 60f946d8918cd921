// Reference backend: what works on each element by itself.
#include <cassert>
#include <cmath>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {
namespace {

double activate(Activation act, double x) {
  switch (act) {
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
    case Activation::gelu_tanh: {  // Hendrycks and Gimpel, arXiv 1606.08415
      const double inner = std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(inner));
    }
  }
  assert(false && "an Activation");
  return 0;
}

}  // namespace

void RefBackend::gated_activation(ConstView gate, ConstView up, Activation act, View y) {
  assert(gate.rows == y.rows && gate.cols == y.cols && up.rows == y.rows && up.cols == y.cols);
  for (int64_t row = 0; row < y.rows; ++row)
    for (int64_t col = 0; col < y.cols; ++col)
      store(y, row, col,
            static_cast<float>(activate(act, load(gate, row, col)) * load(up, row, col)));
}

void RefBackend::add(ConstView a, ConstView b, View y) {
  assert(a.rows == y.rows && a.cols == y.cols && b.rows == y.rows && b.cols == y.cols);
  for (int64_t row = 0; row < y.rows; ++row)
    for (int64_t col = 0; col < y.cols; ++col)
      store(y, row, col, load(a, row, col) + load(b, row, col));
}

void RefBackend::softcap(View x, float cap) {
  for (int64_t row = 0; row < x.rows; ++row)
    for (int64_t col = 0; col < x.cols; ++col)
      store(x, row, col, static_cast<float>(cap * std::tanh(load(x, row, col) / double{cap})));
}

}  // namespace halftone::ref
