// Rows of a mapped tensor, decoded to f32 or bf16.
#include "format/stored_rows.h"

#include <cassert>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace halftone {
namespace {

std::optional<DType> dense_type(std::string_view type) {
  if (type == "F32") return DType::f32;
  if (type == "F16") return DType::f16;
  if (type == "BF16") return DType::bf16;
  return std::nullopt;
}

}  // namespace

StoredRows::StoredRows(const ContainerEntry& entry) : entry_(&entry) {
  const auto block = ggml_block(entry.type);
  if (!block) {
    throw bad_input("{}: {}: type {}, expected floating-point weights", entry.file, entry.name,
                    entry.type);
  }
  if (entry.shape.empty() || entry.shape.size() > 2) {
    throw bad_input("{}: {}: {} dimensions, expected 1 or 2", entry.file, entry.name,
                    entry.shape.size());
  }
  if (entry.shape.size() == 2) rows_ = entry.shape[0];
  cols_ = entry.shape.back();
  row_bytes_ = static_cast<size_t>(cols_ / block->values * block->bytes);
}

bool StoredRows::dense() const { return dense_type(entry_->type).has_value(); }

std::span<const std::byte> StoredRows::row_bytes(int64_t row) const {
  return entry_->bytes.subspan(static_cast<size_t>(row) * row_bytes_, row_bytes_);
}

void StoredRows::decode(int64_t row, std::span<float> out) const {
  ggml_dequantize(entry_->type, row_bytes(row), out);
}

void StoredRows::read(int64_t begin, int64_t end, View out) const {
  assert(0 <= begin && begin <= end && end <= rows_);
  assert(out.rows == end - begin && out.cols == cols_);
  const auto cols = static_cast<size_t>(cols_);
  if (out.dtype == DType::f32) {
    for (int64_t row = begin; row < end; ++row) decode(row, {out.row<float>(row - begin), cols});
    return;
  }
  assert(out.dtype == DType::bf16);
  if (entry_->type == "BF16") {
    for (int64_t row = begin; row < end; ++row) {
      std::memcpy(out.row<bf16>(row - begin), row_bytes(row).data(), row_bytes_);
    }
    return;
  }
  std::vector<float> values(cols);
  for (int64_t row = begin; row < end; ++row) {
    decode(row, values);
    store_row(values, out, row - begin);
  }
}

std::optional<ConstView> StoredRows::mapped() const {
  const auto dtype = dense_type(entry_->type);
  if (!dtype) return std::nullopt;
  const auto address = reinterpret_cast<uintptr_t>(entry_->bytes.data());
  if (address % size_of(*dtype) != 0) return std::nullopt;
  return ConstView{entry_->bytes.data(), rows_, cols_, cols_, *dtype, Place::host};
}

void store_row(std::span<const float> values, View out, int64_t row) {
  if (out.dtype == DType::f32) {
    std::memcpy(out.row<float>(row), values.data(), values.size_bytes());
    return;
  }
  assert(out.dtype == DType::bf16);
  bf16* stored = out.row<bf16>(row);
  for (size_t i = 0; i < values.size(); ++i) stored[i] = to_bf16(values[i]);
}

}  // namespace halftone
