// See added_tokens.h. Semantics: the `tokenizers` library's src/tokenizer/added_vocabulary.rs.
#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace halftone {
namespace {

// The character that ends at text[at], which is not 0.
char32_t character_before(std::string_view text, size_t at) {
  size_t begin = at - 1;
  while ((static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  return next_character(text, begin);
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && is_word(character_before(text, begin))) return false;
  return end == text.size() || !is_word(next_character(text, end));
}

size_t white_space_before(std::string_view text, size_t at, size_t least) {
  while (at > least) {
    size_t begin = at - 1;
    while ((static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
    size_t end = begin;
    if (!is_white_space(next_character(text, end))) break;
    at = begin;
  }
  return at;
}

size_t white_space_after(std::string_view text, size_t at) {
  while (at < text.size()) {
    size_t next = at;
    if (!is_white_space(next_character(text, next))) break;
    at = next;
  }
  return at;
}

}  // namespace

uint32_t AddedTokenMatcher::child(uint32_t node, unsigned char byte) const {
  const auto& edges = nodes_[node].edges;
  const auto edge =
      std::lower_bound(edges.begin(), edges.end(), byte,
                       [](const Edge& left, unsigned char value) { return left.byte < value; });
  return edge != edges.end() && edge->byte == byte ? edge->node : 0;
}

void AddedTokenMatcher::add(const std::string& content, const AddedToken& token) {
  if (content.empty()) return;
  uint32_t node = 0;
  for (const char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
      auto& edges = nodes_[node].edges;
      const auto place = std::find_if(edges.begin(), edges.end(),
                                      [&](const Edge& edge) { return edge.byte > byte; });
      edges.insert(place, {byte, next});
    }
    node = next;
  }
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  starts_[static_cast<unsigned char>(content[0])] = true;
}

int32_t AddedTokenMatcher::longest(std::string_view text, size_t at, size_t& end) const {
  int32_t best = -1;
  uint32_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    node = child(node, static_cast<unsigned char>(text[i]));
    if (node == 0) break;
    if (nodes_[node].token >= 0) {
      best = nodes_[node].token;
      end = i + 1;
    }
  }
  return best;
}

void AddedTokenMatcher::split(std::string_view text, std::vector<Segment>& segments) const {
  segments.clear();
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = 0;
    int32_t index = -1;
    if (starts_[static_cast<unsigned char>(text[at])]) index = longest(text, at, end);
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    size_t begin = at;
    at = end;  // the search goes on behind the bare match, whether it counts or not
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(white_space_before(text, begin, 0), done);
    if (token.rstrip) end = white_space_after(text, end);
    if (done < begin) segments.push_back({done, begin, -1});
    segments.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) segments.push_back({done, text.size(), -1});
}

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer& normalizer) {
  for (const AddedToken& token : tokens) {
    std::string content = token.content;
    if (token.normalized) normalizer.run(content);
    (token.normalized ? normalized_ : raw_).add(content, token);
  }
}

}  // namespace halftone
