// Added tokens: found in the text before (and, for normalized ones, after) normalization.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalizer.h"
#include "text/tokenizer_spec.h"

namespace halftone {

// A part of the text: an added token (id ≥ 0), or what lies between two of them.
struct Segment {
  size_t begin, end;
  int32_t id;
};

// The tokens that match in one and the same text, as a trie over bytes.
class AddedTokenMatcher {
 public:
  // `content` is what is looked for, which differs from token.content for normalized tokens.
  void add(const std::string& content, const AddedToken& token);
  // The text cut at the leftmost longest matches. Parts may be empty; those between tokens never
  // are.
  void split(std::string_view text, std::vector<Segment>& segments) const;

 private:
  struct Edge {
    unsigned char byte;
    uint32_t node;
  };
  struct Node {
    std::vector<Edge> edges;  // by byte
    int32_t token = -1;       // index in tokens_ of the token that ends here
  };
  uint32_t child(uint32_t node, unsigned char byte) const;  // 0: none
  // Index of the longest token that starts at text[at], and its end; -1 when there is none.
  int32_t longest(std::string_view text, size_t at, size_t& end) const;

  std::vector<Node> nodes_{1};  // the root first
  std::vector<AddedToken> tokens_;
  bool starts_[256] = {};  // bytes that a token starts with
};

class AddedTokens {
 public:
  AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer& normalizer);
  const AddedTokenMatcher& raw() const { return raw_; }
  const AddedTokenMatcher& normalized() const { return normalized_; }

 private:
  AddedTokenMatcher raw_, normalized_;
};

}  // namespace halftone
