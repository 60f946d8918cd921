#include "model/kv_cache.h"

namespace halftone {

KvCache::KvCache(Backend& backend, int64_t layers, int64_t sequences, int64_t capacity,
                 int64_t width, DType dtype)
    : capacity_(capacity), dtype_(dtype), lengths_(static_cast<size_t>(sequences), 0) {
  for (int64_t layer = 0; layer < layers; ++layer) {
    keys_.push_back(backend.allocate(sequences * capacity, width, dtype));
    values_.push_back(backend.allocate(sequences * capacity, width, dtype));
  }
}

}  // namespace halftone
