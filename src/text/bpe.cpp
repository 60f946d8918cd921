// See bpe.h. Semantics: the `tokenizers` library's src/models/bpe.
#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/unicode.h"

namespace halftone {
namespace {

constexpr size_t kLongestCachedWord = 256;  // bytes
constexpr size_t kMostCachedWords = 1 << 16;
constexpr size_t kShortWord = 24;  // symbols, up to which a plain scan is faster
constexpr size_t kLongPiece = 64;  // bytes, from which a piece is worth cutting

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

size_t spread(uint64_t key) {
  key *= 0x9e3779b97f4a7c15u;
  return static_cast<size_t>(key ^ key >> 29);
}

size_t table_size(size_t entries) {
  size_t size = 16;
  while (size < entries * 2) size *= 2;
  return size;
}

char32_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return next_character(text, at);
}

char32_t first_character(std::string_view text) {
  size_t at = 0;
  return next_character(text, at);
}

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges)
    : entries_(table_size(merges.size())), mask_(entries_.size() - 1) {
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t pair = pair_key(merges[rank].left, merges[rank].right);
    size_t at = spread(pair) & mask_;
    while (entries_[at].pair != UINT64_MAX && entries_[at].pair != pair) at = (at + 1) & mask_;
    entries_[at] = {pair, static_cast<uint32_t>(rank), merges[rank].result};
  }
}

const MergeTable::Entry* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_key(left, right);
  size_t at = spread(pair) & mask_;
  while (entries_[at].pair != pair) {
    if (entries_[at].pair == UINT64_MAX) return nullptr;
    at = (at + 1) & mask_;
  }
  return &entries_[at];
}

Bpe::Bpe(const TokenizerSpec& spec)
    : vocabulary_(spec.vocabulary), merges_(spec.merges), options_(spec.bpe) {
  if (options_.unknown) unknown_ = vocabulary_.find(*options_.unknown);
  for (unsigned byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte));
  }
  find_joints(spec);
}

// Where a merge joins left and right, the last character of left meets the first of right; a pair
// of characters that never meets so parts a piece into words that know nothing of each other.
void Bpe::find_joints(const TokenizerSpec& spec) {
  std::vector<bool> is_byte(static_cast<size_t>(vocabulary_.id_end()));
  for (const int32_t id : byte_ids_) {
    if (id >= 0) is_byte[static_cast<size_t>(id)] = true;
  }
  std::vector<uint64_t> pairs;
  pairs.reserve(spec.merges.size());
  for (const Merge& merge : spec.merges) {
    // "<0x41>" stands for a byte, not for its own characters.
    if (is_byte[static_cast<size_t>(merge.left)] || is_byte[static_cast<size_t>(merge.right)])
      return;
    const std::string& left = *vocabulary_.piece(merge.left);
    const std::string& right = *vocabulary_.piece(merge.right);
    if (left.empty() || right.empty()) return;
    pairs.push_back(static_cast<uint64_t>(last_character(left)) << 32 | first_character(right));
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  joints_.assign(table_size(pairs.size()), UINT64_MAX);
  for (const uint64_t pair : pairs) {
    size_t at = spread(pair) & (joints_.size() - 1);
    while (joints_[at] != UINT64_MAX) at = (at + 1) & (joints_.size() - 1);
    joints_[at] = pair;
  }
}

bool Bpe::may_join(char32_t left, char32_t right) const {
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | right;
  size_t at = spread(pair) & (joints_.size() - 1);
  while (joints_[at] != UINT64_MAX) {
    if (joints_[at] == pair) return true;
    at = (at + 1) & (joints_.size() - 1);
  }
  return false;
}

bool Bpe::parts(char32_t left, char32_t right) const {
  const auto known = [&](char32_t character) {
    return vocabulary_.find(to_utf8(character)) != Vocabulary::kNone;
  };
  // Where merges are ignored a whole piece may be one token.
  return !options_.ignore_merges && !joints_.empty() && !may_join(left, right) && known(left) &&
         known(right);
}

void Bpe::encode(std::string_view piece, BpeCache& cache, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  if (options_.ignore_merges) {
    const int32_t id = vocabulary_.find(piece);
    if (id != Vocabulary::kNone) {
      ids.push_back(id);
      return;
    }
  }
  if (piece.size() < kLongPiece || joints_.empty()) return encode_word(piece, cache, ids);
  // Unknown characters may fuse with their neighbours: cut only between two that are known.
  const auto known = [&](size_t begin, size_t end) {
    return vocabulary_.find(piece.substr(begin, end - begin)) != Vocabulary::kNone;
  };
  size_t begin = 0, before = 0, at = 0;
  char32_t previous = next_character(piece, at);
  while (at < piece.size()) {
    const size_t here = at;
    const char32_t character = next_character(piece, at);
    if (!may_join(previous, character) && known(before, here) && known(here, at)) {
      encode_word(piece.substr(begin, here - begin), cache, ids);
      begin = here;
    }
    previous = character;
    before = here;
  }
  encode_word(piece.substr(begin), cache, ids);
}

void Bpe::encode_word(std::string_view word, BpeCache& cache, std::vector<int32_t>& ids) const {
  const bool cached = word.size() < kLongestCachedWord;
  if (cached) {
    const auto seen = cache.words.find(word);
    if (seen != cache.words.end()) {
      const auto first = cache.ids.begin() + seen->second.begin;
      ids.insert(ids.end(), first, first + seen->second.count);
      return;
    }
  }
  symbols_of(word, cache.symbols);
  if (cache.symbols.size() <= kShortWord) {
    merge_short(cache);
  } else {
    merge_long(cache);
  }
  ids.insert(ids.end(), cache.symbols.begin(), cache.symbols.end());
  if (!cached || cache.words.size() >= kMostCachedWords) return;
  cache.words.emplace(word, BpeCache::Word{static_cast<uint32_t>(cache.ids.size()),
                                           static_cast<uint32_t>(cache.symbols.size())});
  cache.ids.insert(cache.ids.end(), cache.symbols.begin(), cache.symbols.end());
}

// The character's bytes as "<0x…>" tokens; false where the vocabulary lacks one of them.
bool Bpe::append_bytes(std::string_view character, std::vector<int32_t>& symbols) const {
  const auto id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char byte) { return id(byte) < 0; })) {
    return false;
  }
  for (const char byte : character) symbols.push_back(id(byte));
  return true;
}

void Bpe::symbols_of(std::string_view word, std::vector<int32_t>& symbols) const {
  symbols.clear();
  // An unknown token waits for the next known one, or for the next unknown to fuse with or to
  // follow: the library's order, in which bytes overtake it.
  bool waiting = false;
  for (size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, utf8_length(word[at]));
    at += character.size();
    const int32_t id = vocabulary_.find(character);
    if (id != Vocabulary::kNone) {
      if (waiting) symbols.push_back(unknown_);
      waiting = false;
      symbols.push_back(id);
      continue;
    }
    if (options_.byte_fallback && append_bytes(character, symbols)) continue;
    if (!options_.unknown) continue;  // as in the library: it vanishes
    if (waiting && !options_.fuse_unknown) symbols.push_back(unknown_);
    waiting = true;
  }
  if (waiting) symbols.push_back(unknown_);
}

void Bpe::merge_short(BpeCache& cache) const {
  auto& symbols = cache.symbols;
  const MergeTable::Entry* merges[kShortWord];  // merges[i]: of symbols i and i + 1
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    merges[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (symbols.size() > 1) {
    const size_t pairs = symbols.size() - 1;
    cache.steps_ += static_cast<int64_t>(pairs);
    size_t best = pairs;
    for (size_t i = 0; i < pairs; ++i) {
      if (merges[i] && (best == pairs || merges[i]->rank < merges[best]->rank)) best = i;
    }
    if (best == pairs) return;
    symbols[best] = merges[best]->result;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
    std::copy(merges + best + 1, merges + pairs, merges + best);
    if (best > 0) merges[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
    if (best + 1 < symbols.size()) merges[best] = merges_.find(symbols[best], symbols[best + 1]);
  }
}

void Bpe::merge_long(BpeCache& cache) const {
  auto& list = cache.list;
  auto& heap = cache.heap;
  const auto count = static_cast<int32_t>(cache.symbols.size());
  list.resize(cache.symbols.size());
  heap.clear();
  const auto later = [](const BpeCache::Candidate& a, const BpeCache::Candidate& b) {
    return a.order > b.order;
  };
  const auto propose = [&](int32_t at) {
    if (at < 0 || list[at].next < 0) return;
    ++cache.steps_;
    const auto* merge = merges_.find(list[at].id, list[list[at].next].id);
    if (!merge) return;
    heap.push_back(
        {static_cast<uint64_t>(merge->rank) << 32 | static_cast<uint32_t>(at), merge->result});
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (int32_t i = 0; i < count; ++i)
    list[i] = {cache.symbols[i], i - 1, i + 1 < count ? i + 1 : -1};
  for (int32_t i = 0; i < count; ++i) propose(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const BpeCache::Candidate top = heap.back();
    heap.pop_back();
    const auto at = static_cast<int32_t>(top.order & UINT32_MAX);
    BpeCache::Symbol& left = list[at];
    if (left.id < 0 || left.next < 0) continue;
    // The pair may have changed since it was proposed.
    BpeCache::Symbol& right = list[left.next];
    const auto* merge = merges_.find(left.id, right.id);
    if (!merge || merge->result != top.result) continue;
    left.id = top.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) list[left.next].previous = at;
    propose(left.previous);
    propose(at);
  }
  cache.symbols.clear();
  for (const auto& symbol : list) {
    if (symbol.id >= 0) cache.symbols.push_back(symbol.id);
  }
}

}  // namespace halftone
