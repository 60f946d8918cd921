// The tensors of a safetensors checkpoint as they stand, behind the interface that packed formats
// and GGUF files offer too.
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "io/checkpoint.h"

namespace halftone {
namespace {

// To f32 with the last bit set where something was lost: rounding that to fewer bits then gives
// what rounding the double itself gives.
float to_odd_float(double value) {
  const float nearest = static_cast<float>(value);
  if (std::isnan(value) || std::isinf(nearest) || static_cast<double>(nearest) == value)
    return nearest;
  const float down = std::abs(static_cast<double>(nearest)) > std::abs(value)
                         ? std::nextafter(nearest, 0.0f)
                         : nearest;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(down) | 1u);
}

template <class From, class To>
To convert(From value) {
  if constexpr (std::is_same_v<To, float>) {
    if constexpr (std::is_same_v<From, double>)
      return static_cast<float>(value);
    else if constexpr (std::is_same_v<From, float>)
      return value;
    else
      return to_float(value);
  } else {
    if constexpr (std::is_same_v<From, double>)
      return to_bf16(to_odd_float(value));
    else
      return to_bf16(convert<From, float>(value));
  }
}

// `from` may be at any address: a header's length decides where the data begins.
template <class From, class To>
void convert_row(const std::byte* from, To* to, int64_t count) {
  if constexpr (std::is_same_v<From, To>) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(To));
  } else {
    for (int64_t i = 0; i < count; ++i) {
      From value;
      std::memcpy(&value, from + static_cast<size_t>(i) * sizeof(From), sizeof value);
      to[i] = convert<From, To>(value);
    }
  }
}

template <class To>
void convert_row(DType dtype, const std::byte* from, To* to, int64_t count) {
  switch (dtype) {
    case DType::f32:
      return convert_row<float>(from, to, count);
    case DType::bf16:
      return convert_row<bf16>(from, to, count);
    case DType::f16:
      return convert_row<f16>(from, to, count);
    default:
      return convert_row<double>(from, to, count);
  }
}

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f64;
}

// "I32" → "i32".
std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

class DenseWeights : public WeightSource {
 public:
  explicit DenseWeights(const Checkpoint& checkpoint) : entries_(checkpoint.entries()) {
    for (const ContainerEntry& entry : entries_) {
      const auto dtype = dtype_of_safetensors(entry.type);
      if (!dtype && (entry.type[0] == 'F' || entry.type[0] == 'C'))
        throw bad_input("{}: {}: type {}, expected F32, F16, BF16 or F64", entry.file, entry.name,
                        entry.type);
      StoredTensor tensor;
      tensor.name = entry.name;
      tensor.rank = static_cast<int>(entry.shape.size());
      tensor.rows = 1;
      tensor.cols = entry.shape.empty() ? 1 : entry.shape.back();
      for (size_t i = 0; i + 1 < entry.shape.size(); ++i) tensor.rows *= entry.shape[i];
      tensor.encoding = lower_case(entry.type);
      tensor.bytes = static_cast<int64_t>(entry.bytes.size());
      tensors_.push_back(std::move(tensor));
    }
  }

  const std::vector<StoredTensor>& tensors() const override { return tensors_; }

  void read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const override {
    const StoredTensor* tensor = find(name);
    if (!tensor) throw bad_input("{}: missing", name);
    const ContainerEntry& entry = entry_of(*tensor);
    const auto dtype = dtype_of_safetensors(entry.type);
    if (!dtype || !is_float(*dtype))
      throw bad_input("{}: {}: type {}, expected F32, F16, BF16 or F64", entry.file, name,
                      entry.type);
    assert(0 <= row_begin && row_begin <= row_end && row_end <= tensor->rows);
    assert(out.rows == row_end - row_begin && out.cols == tensor->cols);
    const size_t row_bytes = static_cast<size_t>(tensor->cols) * size_of(*dtype);
    for (int64_t row = row_begin; row < row_end; ++row) {
      const std::byte* from = entry.bytes.data() + static_cast<size_t>(row) * row_bytes;
      if (out.dtype == DType::f32) {
        convert_row(*dtype, from, out.row<float>(row - row_begin), tensor->cols);
      } else {
        assert(out.dtype == DType::bf16);
        convert_row(*dtype, from, out.row<bf16>(row - row_begin), tensor->cols);
      }
    }
  }

  std::optional<ConstView> mapped(std::string_view name) const override {
    const StoredTensor* tensor = find(name);
    if (!tensor) return std::nullopt;
    const ContainerEntry& entry = entry_of(*tensor);
    const auto dtype = dtype_of_safetensors(entry.type);
    if (!dtype) return std::nullopt;
    const bool aligned = reinterpret_cast<uintptr_t>(entry.bytes.data()) % size_of(*dtype) == 0;
    if (!aligned) return std::nullopt;
    return ConstView{entry.bytes.data(), tensor->rows, tensor->cols, tensor->cols, *dtype};
  }

 private:
  const ContainerEntry& entry_of(const StoredTensor& tensor) const {
    return entries_[static_cast<size_t>(&tensor - tensors_.data())];
  }

  const std::vector<ContainerEntry>& entries_;  // the checkpoint's, sorted as tensors_
  std::vector<StoredTensor> tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> open_dense_weights(const Checkpoint& checkpoint) {
  return std::make_unique<DenseWeights>(checkpoint);
}

}  // namespace halftone
