// Reading through changes: in f32, rounded once at the end.
#include "tensor/changed_source.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/half.h"

namespace halftone {
namespace {

void round_rows(const Tensor& from, View to) {
  assert(to.dtype == DType::bf16);
  for (int64_t row = 0; row < to.rows; ++row)
    for (int64_t col = 0; col < to.cols; ++col)
      to.row<bf16>(row)[col] = to_bf16(from.row<float>(row)[col]);
}

}  // namespace

ChangedSource::ChangedSource(std::unique_ptr<WeightSource> base)
    : base_(std::move(base)), tensors_(base_->tensors()) {}

void ChangedSource::change(const std::string& name, int64_t begin, int64_t end, Change change) {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const StoredTensor& tensor) { return tensor.name == name; });
  assert(found != tensors_.end() && end <= found->rows);
  found->grid.reset();
  found->bytes = 0;
  changes_[name].push_back({begin, end, std::move(change)});
}

void ChangedSource::read(std::string_view name, int64_t row_begin, int64_t row_end,
                         View out) const {
  const auto found = changes_.find(name);
  if (found == changes_.end()) return base_->read(name, row_begin, row_end, out);
  HostAllocator host;
  Tensor exact;
  if (out.dtype != DType::f32) exact = Tensor(host, out.rows, out.cols, DType::f32);
  const View values = exact.empty() ? out : exact.view();
  base_->read(name, row_begin, row_end, values);
  for (const ChangedRows& rows : found->second) {
    const int64_t begin = std::max(rows.begin, row_begin), end = std::min(rows.end, row_end);
    if (begin < end) rows.change(begin, values.rows_of(begin - row_begin, end - row_begin));
  }
  if (!exact.empty()) round_rows(exact, out);
}

std::optional<ConstView> ChangedSource::mapped(std::string_view name) const {
  return changes_.contains(name) ? std::nullopt : base_->mapped(name);
}

std::optional<QuantizedMatrix> ChangedSource::quantized(std::string_view name) const {
  return changes_.contains(name) ? std::nullopt : base_->quantized(name);
}

}  // namespace halftone
