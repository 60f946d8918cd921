// Byte-pair encoding (Sennrich et al., 1508.07909): a piece's characters, merged pair by pair in
// the order of rank, leftmost first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer_spec.h"

namespace halftone {

// (left, right) → rank and result; open addressing.
class MergeTable {
 public:
  struct Entry {
    uint64_t pair = UINT64_MAX;
    uint32_t rank = UINT32_MAX;
    int32_t result = -1;
  };
  explicit MergeTable(const std::vector<Merge>& merges);
  // nullptr when the pair does not merge.
  const Entry* find(int32_t left, int32_t right) const;

 private:
  std::vector<Entry> entries_;
  size_t mask_ = 0;
};

// What encode() keeps from piece to piece: working memory, and words that were seen before. One for
// each text that is being encoded.
class BpeCache {
 public:
  // Pairs that were looked up so far: the measure of the work done.
  int64_t steps() const { return steps_; }

 private:
  friend class Bpe;
  struct Word {
    uint32_t begin, count;  // in ids
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return hash_bytes(word); }
  };
  struct Symbol {
    int32_t id;
    int32_t previous, next;  // indices; −1 at the ends
  };
  struct Candidate {
    uint64_t order;  // rank, then place
    int32_t result;
  };
  int64_t steps_ = 0;
  std::unordered_map<std::string, Word, Hash, std::equal_to<>> words;
  std::vector<int32_t> ids;
  std::vector<int32_t> symbols;  // of the word in hand
  std::vector<Symbol> list;
  std::vector<Candidate> heap;
};

class Bpe {
 public:
  explicit Bpe(const TokenizerSpec& spec);  // keeps a reference to spec.vocabulary
  // Appends the ids of one piece. O(n log n) in its length.
  void encode(std::string_view piece, BpeCache& cache, std::vector<int32_t>& ids) const;
  // Whether every piece with these two neighbours in it gives the ids of its two parts: both are
  // known, and no merge joins them.
  bool parts(char32_t left, char32_t right) const;

 private:
  void encode_word(std::string_view word, BpeCache& cache, std::vector<int32_t>& ids) const;
  void symbols_of(std::string_view word, std::vector<int32_t>& symbols) const;
  bool append_bytes(std::string_view character, std::vector<int32_t>& symbols) const;
  void merge_short(BpeCache& cache) const;
  void merge_long(BpeCache& cache) const;
  void find_joints(const TokenizerSpec& spec);
  bool may_join(char32_t left, char32_t right) const;

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  int32_t unknown_ = -1;
  int32_t byte_ids_[256];  // of "<0x00>" …; −1 where the vocabulary has none
  // Pairs of characters between which some merge joins: a long piece can be cut everywhere else.
  std::vector<uint64_t> joints_;  // a hash set; empty: pieces are never cut
};

}  // namespace halftone
