#include "text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "text/unicode.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;

TokenizerSpec spec_of(const std::vector<std::string>& pieces,
                      const std::vector<std::pair<std::string, std::string>>& merges) {
  TokenizerSpec spec;
  for (size_t i = 0; i < pieces.size(); ++i)
    spec.vocabulary.add(pieces[i], static_cast<int32_t>(i));
  for (const auto& [left, right] : merges) {
    spec.merges.push_back({spec.vocabulary.find(left), spec.vocabulary.find(right),
                           spec.vocabulary.find(left + right)});
  }
  return spec;
}

std::vector<int32_t> encode(const Bpe& bpe, std::string_view piece) {
  BpeCache cache;
  std::vector<int32_t> ids;
  bpe.encode(piece, cache, ids);
  return ids;
}

TEST(Bpe, WorkedExample) {
  const TokenizerSpec spec =
      spec_of({"a", "b", "ab", "aa", "aab"}, {{"a", "b"}, {"a", "a"}, {"aa", "b"}, {"a", "ab"}});
  const Bpe bpe(spec);
  EXPECT_THAT(encode(bpe, "ab"), ElementsAre(2));
  EXPECT_THAT(encode(bpe, "aab"), ElementsAre(4));      // a+b first, then a+ab
  EXPECT_THAT(encode(bpe, "aaaa"), ElementsAre(3, 3));  // leftmost first
  EXPECT_THAT(encode(bpe, "aaab"), ElementsAre(3, 2));  // a a ab, then aa before a+ab
  EXPECT_THAT(encode(bpe, ""), ElementsAre());
}

TEST(Bpe, UnknownCharacters) {
  TokenizerSpec spec = spec_of({"a", "?", "<0xC3>", "<0xA9>"}, {});
  EXPECT_THAT(encode(Bpe(spec), "axya"), ElementsAre(0, 0));  // no unknown token: they vanish
  spec.bpe.unknown = "?";
  EXPECT_THAT(encode(Bpe(spec), "axya"), ElementsAre(0, 1, 1, 0));
  spec.bpe.fuse_unknown = true;
  EXPECT_THAT(encode(Bpe(spec), "axyaz"), ElementsAre(0, 1, 0, 1));
  spec.bpe.byte_fallback = true;
  EXPECT_THAT(encode(Bpe(spec), "a\u00e9\u00e8"), ElementsAre(0, 2, 3, 1));  // no byte A8
}

TEST(Bpe, IgnoreMergesTakesWholePieces) {
  TokenizerSpec spec = spec_of({"a", "b", "c", "ab", "abc"}, {{"a", "b"}});
  EXPECT_THAT(encode(Bpe(spec), "abc"), ElementsAre(3, 2));
  spec.bpe.ignore_merges = true;
  EXPECT_THAT(encode(Bpe(spec), "abc"), ElementsAre(4));
}

// Letters a to h, and random merges among short pieces of them.
TokenizerSpec random_spec(uint64_t seed, int merges) {
  Rng rng(seed);
  std::vector<std::string> pieces;
  for (char c = 'a'; c <= 'h'; ++c) pieces.emplace_back(1, c);
  std::vector<std::pair<std::string, std::string>> pairs;
  for (int i = 0; i < merges; ++i) {
    const std::string left = pieces[rng.below(pieces.size())],
                      right = pieces[rng.below(pieces.size())];
    if (std::find(pieces.begin(), pieces.end(), left + right) != pieces.end()) continue;
    pieces.push_back(left + right);
    pairs.emplace_back(left, right);
  }
  return spec_of(pieces, pairs);
}

// The definition, step by step.
std::vector<int32_t> naive(const TokenizerSpec& spec, std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(spec.vocabulary.find({&c, 1}));
  for (;;) {
    size_t best = SIZE_MAX, place = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t rank = 0; rank < std::min(best, spec.merges.size()); ++rank) {
        const Merge& merge = spec.merges[rank];
        if (merge.left == ids[i] && merge.right == ids[i + 1]) best = rank, place = i;
      }
    }
    if (best == SIZE_MAX) return ids;
    ids[place] = spec.merges[best].result;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(place) + 1);
  }
}

TEST(Bpe, ScanHeapAndCutsAgreeWithTheDefinition) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const TokenizerSpec spec = random_spec(seed, 30);
    const Bpe bpe(spec);
    Rng rng(seed + 100);
    for (const size_t length : {1, 2, 5, 20, 24, 25, 26, 63, 64, 65, 200}) {
      std::string text;
      while (text.size() < length) text += static_cast<char>('a' + rng.below(8));
      EXPECT_EQ(encode(bpe, text), naive(spec, text)) << text;
    }
  }
}

TEST(Bpe, SameIdsFromTheCache) {
  const TokenizerSpec spec = random_spec(3, 40);
  const Bpe bpe(spec);
  BpeCache cache;
  std::vector<int32_t> twice;
  bpe.encode("abcdefgh", cache, twice);
  const int64_t steps = cache.steps();
  bpe.encode("abcdefgh", cache, twice);
  EXPECT_EQ(cache.steps(), steps);
  std::vector<int32_t> expected = encode(bpe, "abcdefgh");
  const std::vector<int32_t> once = expected;
  expected.insert(expected.end(), once.begin(), once.end());
  EXPECT_EQ(twice, expected);
}

TEST(Bpe, WorkGrowsWithTheLengthOfOnePiece) {
  // a·2ⁿ for n up to 5: one long run merges level by level.
  std::vector<std::string> pieces{"a"};
  std::vector<std::pair<std::string, std::string>> merges;
  for (int i = 0; i < 5; ++i) {
    merges.emplace_back(pieces.back(), pieces.back());
    pieces.push_back(pieces.back() + pieces.back());
  }
  const TokenizerSpec spec = spec_of(pieces, merges);
  const Bpe bpe(spec);
  const auto steps = [&](size_t length) {
    BpeCache cache;
    std::vector<int32_t> ids;
    bpe.encode(std::string(length, 'a'), cache, ids);
    EXPECT_EQ(ids.size(), length / 32);
    return cache.steps();
  };
  EXPECT_LE(steps(1 << 16), 8 << 16);
  EXPECT_LE(steps(1 << 17), steps(1 << 16) * 21 / 10);
}

}  // namespace
}  // namespace halftone
