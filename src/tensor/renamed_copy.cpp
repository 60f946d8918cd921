#include "tensor/renamed_copy.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace halftone {

RenamedCopy::RenamedCopy(std::unique_ptr<WeightSource> base, std::string original, std::string copy)
    : base_(std::move(base)),
      original_(std::move(original)),
      copy_(std::move(copy)),
      tensors_(base_->tensors()) {
  assert(base_->find(original_) != nullptr);
  std::erase_if(tensors_, [&](const StoredTensor& stored) { return stored.name == copy_; });
  StoredTensor tensor = *base_->find(original_);
  tensor.name = copy_;
  tensor.bytes = 0;
  const auto place = std::lower_bound(
      tensors_.begin(), tensors_.end(), copy_,
      [](const StoredTensor& stored, const std::string& name) { return stored.name < name; });
  tensors_.insert(place, std::move(tensor));
}

std::string_view RenamedCopy::stored_name(std::string_view name) const {
  return name == copy_ ? std::string_view(original_) : name;
}

void RenamedCopy::read(std::string_view name, int64_t row_begin, int64_t row_end, View out) const {
  base_->read(stored_name(name), row_begin, row_end, out);
}

std::optional<ConstView> RenamedCopy::mapped(std::string_view name) const {
  return base_->mapped(stored_name(name));
}

std::optional<QuantizedMatrix> RenamedCopy::quantized(std::string_view name) const {
  return base_->quantized(stored_name(name));
}

}  // namespace halftone
