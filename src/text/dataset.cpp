// See dataset.h.
#include "text/dataset.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/rng.h"

namespace halftone {
namespace {

constexpr size_t kRun = 64;           // bytes that two texts must have in common
constexpr uint64_t kSampleMask = 15;  // one run in sixteen is looked at

// The hashes of the sampled runs of a document that comes part by part (Karp and Rabin 1987, modulo
// 2^64).
class Runs {
 public:
  Runs() {
    for (size_t i = 0; i < kRun; ++i) leaving_factor_ *= kBase;
  }
  void begin() {
    std::fill(std::begin(ring_), std::end(ring_), 0);
    hash_ = 0;
    count_ = 0;
    was_space_ = true;
  }
  template <class Visit>
  void push(std::string_view part, Visit visit) {
    for (const char c : part) {
      const bool space = c == ' ' || (c >= '\t' && c <= '\r');
      if (space && was_space_) continue;
      was_space_ = space;
      const auto entering = static_cast<unsigned char>(space ? ' ' : c);
      unsigned char& place = ring_[count_++ % kRun];
      hash_ = hash_ * kBase + entering - leaving_factor_ * place;
      place = entering;
      if (count_ < kRun) continue;
      const uint64_t mixed = (hash_ ^ hash_ >> 31) * kBase;
      if ((mixed >> 32 & kSampleMask) == 0) visit(mixed);
    }
  }

 private:
  static constexpr uint64_t kBase = 0x9e3779b97f4a7c15u;
  uint64_t leaving_factor_ = 1, hash_ = 0;
  unsigned char ring_[kRun] = {};
  size_t count_ = 0;
  bool was_space_ = true;
};

template <class Visit>
void visit_runs(const TextFile& file, Visit visit) {
  Runs runs;
  visit_documents(file, [&](std::string_view part, bool first) {
    if (first) runs.begin();
    runs.push(part, visit);
    return true;
  });
}

// Runs and whether they were met again. When they become many, every second one is forgotten, by
// its hash: so the same ones are, wherever they stand.
class SampledRuns {
 public:
  void add(uint64_t hash) {
    if (!taken(hash)) return;
    hashes_.push_back(hash);
    if (hashes_.size() < kMostRuns) return;
    mask_ = mask_ * 2 + 1;
    std::erase_if(hashes_, [this](uint64_t each) { return !taken(each); });
  }
  void sort() {
    std::sort(hashes_.begin(), hashes_.end());
    hashes_.erase(std::unique(hashes_.begin(), hashes_.end()), hashes_.end());
    met_.assign(hashes_.size(), false);
  }
  void meet(uint64_t hash) {
    if (!taken(hash)) return;
    const auto [begin, end] = std::equal_range(hashes_.begin(), hashes_.end(), hash);
    std::fill(met_.begin() + (begin - hashes_.begin()), met_.begin() + (end - hashes_.begin()),
              true);
  }
  double share_met() const {
    const auto met = static_cast<double>(std::count(met_.begin(), met_.end(), true));
    return hashes_.empty() ? 0 : met / static_cast<double>(hashes_.size());
  }

 private:
  static constexpr size_t kMostRuns = size_t{1} << 20;
  bool taken(uint64_t hash) const { return (hash >> 40 & mask_) == 0; }
  uint64_t mask_ = 0;
  std::vector<uint64_t> hashes_;
  std::vector<bool> met_;
};

// Room for the ids of so many bytes of text, so that the list need not grow by copies; pages that
// are not reached are not taken.
void reserve_ids(const std::vector<TextFile>& files, int64_t most_ids, std::vector<int32_t>& ids) {
  int64_t bytes = 0;
  for (const TextFile& file : files) bytes += file.bytes;
  const int64_t guess = bytes / 2 + kRun;
  ids.reserve(static_cast<size_t>(most_ids > 0 ? std::min(guess, most_ids) : guess));
}

}  // namespace

void Windows::append(std::span<const int32_t> sequence) {
  if (starts.empty()) starts.push_back(0);
  ids.insert(ids.end(), sequence.begin(), sequence.end());
  starts.push_back(tokens());
}

void Windows::cut(std::optional<int32_t> bos, int64_t most) {
  tokens_in_text = static_cast<int64_t>(ids.size());
  const int64_t whole = tokens_in_text / length;
  ids.resize(static_cast<size_t>((most > 0 ? std::min(most, whole) : whole) * length));
  if (!bos) return;
  for (size_t at = 0; at < ids.size(); at += static_cast<size_t>(length)) ids[at] = *bos;
}

Windows cut_windows(const Tokenizer& tokenizer, const std::vector<TextFile>& files, int64_t length,
                    int64_t most) {
  assert(length > 0);
  Windows windows;
  windows.length = length;
  std::vector<int32_t>& ids = windows.ids;
  reserve_ids(files, most * length, ids);
  const auto enough = [&] { return most > 0 && static_cast<int64_t>(ids.size()) >= most * length; };
  for (const TextFile& file : files) {
    if (enough()) break;
    std::optional<StreamEncoder> encoder(tokenizer);
    bool follows = false;
    visit_documents(file, [&](std::string_view part, bool first) {
      if (first && std::exchange(follows, true)) {
        if (file.chats == 0) {
          encoder->push("\n\n", ids);
        } else {
          encoder->finish(ids);
          encoder.emplace(tokenizer);
        }
      }
      encoder->push(part, ids);
      return !enough();
    });
    if (!enough()) encoder->finish(ids);
  }
  windows.cut(tokenizer.bos(), most);
  return windows;
}

WholeDocuments take_documents(const Tokenizer& tokenizer, const std::vector<TextFile>& files,
                              int64_t length) {
  assert(length >= kShortestSequence);
  constexpr size_t kPiece = size_t{64} << 10;
  WholeDocuments taken;
  taken.sequences.length = length;
  taken.sequences.starts = {0};
  std::optional<StreamEncoder> encoder;
  std::vector<int32_t> ids;
  const auto too_long = [&] { return static_cast<int64_t>(ids.size()) > length; };
  const auto close = [&](bool chat) {
    if (!encoder) return;
    if (!too_long()) encoder->finish(ids);
    encoder.reset();
    const std::optional<int32_t> bos = tokenizer.bos();
    if (bos && !chat && !ids.empty() && ids.front() != *bos) ids.insert(ids.begin(), *bos);
    taken.cut += too_long() ? 1 : 0;
    if (too_long()) ids.resize(static_cast<size_t>(length));
    if (static_cast<int64_t>(ids.size()) >= kShortestSequence)
      taken.sequences.append(ids);
    else
      ++taken.left_out;
    ids.clear();
  };
  for (const TextFile& file : files) {
    visit_documents(file, [&](std::string_view part, bool first) {
      if (first) {
        close(file.chats > 0);
        encoder.emplace(tokenizer);
      }
      for (size_t at = 0; at < part.size() && !too_long(); at += kPiece)
        encoder->push(part.substr(at, kPiece), ids);
      return true;
    });
    close(file.chats > 0);
  }
  taken.sequences.tokens_in_text = taken.sequences.tokens();
  return taken;
}

Windows pick_windows(const Windows& all, int64_t first, int64_t count, uint64_t seed) {
  if (first < 0 || count < 0 || count > all.count() - first) {
    throw internal_error("windows [{}, {}) of {}", first, first + count, all.count());
  }
  std::vector<int64_t> order(static_cast<size_t>(all.count()));
  std::iota(order.begin(), order.end(), 0);
  Rng rng(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  Windows picked;
  picked.length = all.length;
  if (all.uneven()) picked.starts = {0};
  int64_t tokens = 0;
  for (int64_t i = first; i < first + count; ++i)
    tokens += all.length_of(order[static_cast<size_t>(i)]);
  picked.ids.reserve(static_cast<size_t>(tokens));
  for (int64_t i = first; i < first + count; ++i) {
    const std::span<const int32_t> window = all.sequence(order[static_cast<size_t>(i)]);
    picked.ids.insert(picked.ids.end(), window.begin(), window.end());
    if (all.uneven()) picked.starts.push_back(picked.tokens());
  }
  picked.tokens_in_text = picked.tokens();
  return picked;
}

double overlap(const std::vector<TextFile>& calibration, const std::vector<TextFile>& evaluation) {
  SampledRuns runs;
  for (const TextFile& file : evaluation) visit_runs(file, [&](uint64_t hash) { runs.add(hash); });
  runs.sort();
  for (const TextFile& file : calibration)
    visit_runs(file, [&](uint64_t hash) { runs.meet(hash); });
  return runs.share_met();
}

}  // namespace halftone
