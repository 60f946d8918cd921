// Pieces and their ids, and the merges between them: the bulk of a byte-pair tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace halftone {

// A hash table from piece to id (open addressing over the list of pieces).
class Vocabulary {
 public:
  static constexpr int32_t kNone = -1;
  static constexpr int64_t kMostIds = 1 << 24;

  void reserve(size_t pieces);
  // False when the piece or the id is there already. `id` in [0, kMostIds).
  bool add(std::string piece, int32_t id);
  int32_t find(std::string_view piece) const;  // kNone when absent
  // nullptr where no piece has this id.
  const std::string* piece(int32_t id) const {
    return id >= 0 && id < id_end() && present_[static_cast<size_t>(id)]
               ? &pieces_[static_cast<size_t>(id)]
               : nullptr;
  }
  int32_t id_end() const { return static_cast<int32_t>(pieces_.size()); }  // largest id + 1
  size_t size() const { return count_; }

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = kNone;
  };
  void grow(size_t slots);

  std::vector<std::string> pieces_;  // by id
  std::vector<bool> present_;
  std::vector<Slot> slots_;  // a power of two of them, at most half full
  size_t count_ = 0;
};

// The pair (left, right) becomes `result`; a merge's rank is its place in the list.
struct Merge {
  int32_t left, right, result;
};

uint64_t hash_bytes(std::string_view bytes);

}  // namespace halftone
