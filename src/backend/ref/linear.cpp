// Reference backend: linear layers, embedding, and c += a · b.
#include <cassert>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {
namespace {

// The weight as f32, already rounded to the type of the products.
class RefWeight final : public Weight {
 public:
  RefWeight(Allocator& allocator, ConstView weight, DType compute)
      : values(allocator, weight.rows, weight.cols, DType::f32) {
    rows = weight.rows;
    cols = weight.cols;
    dtype = compute;
  }
  Tensor values;
};

float round_to_dtype(DType dtype, float value) {
  return dtype == DType::bf16 ? round_to_bf16(value) : value;
}

}  // namespace

std::unique_ptr<Weight> RefBackend::prepare(ConstView weight, DType compute) {
  assert(compute == DType::f32 || compute == DType::bf16);
  auto prepared = std::make_unique<RefWeight>(allocator_, weight, compute);
  for (int64_t row = 0; row < weight.rows; ++row)
    for (int64_t col = 0; col < weight.cols; ++col)
      store(prepared->values, row, col, round_to_dtype(compute, load(weight, row, col)));
  return prepared;
}

void RefBackend::linear(ConstView x, const Weight& weight, ConstView bias, View y,
                        bool accumulate) {
  const Tensor& w = static_cast<const RefWeight&>(weight).values;
  assert(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows);
  assert(bias.empty() || bias.cols == weight.rows);
  assert(!accumulate || y.dtype == DType::f32);
  for (int64_t row = 0; row < x.rows; ++row) {
    std::vector<float> input = load_row(x, row);
    for (float& value : input) value = round_to_dtype(weight.dtype, value);
    for (int64_t out = 0; out < weight.rows; ++out) {
      double sum = dot(input, {w.row<float>(out), static_cast<size_t>(weight.cols)});
      if (!bias.empty()) sum += load(bias, 0, out);
      if (accumulate) sum += load(y, row, out);
      store(y, row, out, static_cast<float>(sum));
    }
  }
}

void RefBackend::embed(std::span<const int32_t> ids, ConstView table, float scale, View y) {
  assert(static_cast<int64_t>(ids.size()) == y.rows && table.cols == y.cols);
  for (int64_t row = 0; row < y.rows; ++row) {
    const int32_t id = ids[static_cast<size_t>(row)];
    assert(id >= 0 && id < table.rows);
    for (int64_t col = 0; col < y.cols; ++col) store(y, row, col, scale * load(table, id, col));
  }
}

void RefBackend::multiply_add(ConstView a, ConstView b, View c, Products) {
  assert(a.rows == c.rows && a.cols == b.rows && b.cols == c.cols);
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t col = 0; col < c.cols; ++col) {
      double sum = load(c, row, col);
      for (int64_t i = 0; i < a.cols; ++i)
        sum += static_cast<double>(load(a, row, i)) * load(b, i, col);
      store(c, row, col, static_cast<float>(sum));
    }
  }
}

}  // namespace halftone::ref
