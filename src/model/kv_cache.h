// Keys and values of the positions that are behind: one pair of tensors a layer, sequences side by
// side.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"

namespace halftone {

class KvCache {
 public:
  // `capacity` positions for each of `sequences`; width = kv_heads·head_dim.
  KvCache(Backend& backend, int64_t layers, int64_t sequences, int64_t capacity, int64_t width,
          DType dtype);

  int64_t capacity() const { return capacity_; }
  int64_t sequences() const { return static_cast<int64_t>(lengths_.size()); }
  DType dtype() const { return dtype_; }
  int64_t length(int64_t sequence) const { return lengths_[static_cast<size_t>(sequence)]; }
  // (sequences·capacity, width): sequence s owns rows [s·capacity, (s + 1)·capacity).
  View keys(int layer) { return keys_[static_cast<size_t>(layer)]; }
  View values(int layer) { return values_[static_cast<size_t>(layer)]; }
  // After the last layer: `count` more positions are filled.
  void advance(int64_t sequence, int64_t count) {
    lengths_[static_cast<size_t>(sequence)] += count;
  }

 private:
  int64_t capacity_;
  DType dtype_;
  std::vector<Tensor> keys_, values_;
  std::vector<int64_t> lengths_;
};

}  // namespace halftone
