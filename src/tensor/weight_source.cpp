#include "tensor/weight_source.h"

#include <algorithm>

namespace halftone {

const StoredTensor* WeightSource::find(std::string_view name) const {
  const auto& all = tensors();
  const auto found = std::lower_bound(
      all.begin(), all.end(), name,
      [](const StoredTensor& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return found != all.end() && found->name == name ? &*found : nullptr;
}

std::optional<ConstView> WeightSource::mapped(std::string_view) const { return std::nullopt; }

std::optional<QuantizedMatrix> WeightSource::quantized(std::string_view) const {
  return std::nullopt;
}

}  // namespace halftone
