// See vocabulary.h.
#include "text/vocabulary.h"

#include <cassert>
#include <cstring>
#include <utility>

namespace halftone {

// Multiply and fold, eight bytes a step (after wyhash, Wang Yi 2019). Not for hostile keys' sake: a
// table at most half full with linear probing only slows down.
uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15u;
  uint64_t hash = bytes.size() * kMultiplier;
  const char* at = bytes.data();
  size_t left = bytes.size();
  while (left > 0) {
    uint64_t part = 0;
    const size_t take = left < 8 ? left : 8;
    std::memcpy(&part, at, take);
    hash = (hash ^ part) * kMultiplier;
    hash ^= hash >> 32;
    at += take;
    left -= take;
  }
  return hash * kMultiplier;
}

void Vocabulary::reserve(size_t pieces) {
  pieces_.reserve(pieces);
  present_.reserve(pieces);
  size_t slots = 16;
  while (slots < pieces * 2) slots *= 2;
  if (slots > slots_.size()) grow(slots);
}

void Vocabulary::grow(size_t slots) {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots));
  for (const Slot& slot : old) {
    if (slot.id == kNone) continue;
    size_t at = slot.hash & (slots - 1);
    while (slots_[at].id != kNone) at = (at + 1) & (slots - 1);
    slots_[at] = slot;
  }
}

bool Vocabulary::add(std::string piece, int32_t id) {
  assert(id >= 0 && id < kMostIds);
  if (this->piece(id) || find(piece) != kNone) return false;
  if ((count_ + 1) * 2 > slots_.size()) grow(slots_.empty() ? 16 : slots_.size() * 2);
  const auto hash = static_cast<uint32_t>(hash_bytes(piece) >> 32);
  size_t at = hash & (slots_.size() - 1);
  while (slots_[at].id != kNone) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {hash, id};
  if (id >= id_end()) {
    pieces_.resize(static_cast<size_t>(id) + 1);
    present_.resize(static_cast<size_t>(id) + 1);
  }
  pieces_[static_cast<size_t>(id)] = std::move(piece);
  present_[static_cast<size_t>(id)] = true;
  ++count_;
  return true;
}

int32_t Vocabulary::find(std::string_view piece) const {
  if (slots_.empty()) return kNone;
  const auto hash = static_cast<uint32_t>(hash_bytes(piece) >> 32);
  size_t at = hash & (slots_.size() - 1);
  while (slots_[at].id != kNone) {
    if (slots_[at].hash == hash && pieces_[static_cast<size_t>(slots_[at].id)] == piece) {
      return slots_[at].id;
    }
    at = (at + 1) & (slots_.size() - 1);
  }
  return kNone;
}

}  // namespace halftone
