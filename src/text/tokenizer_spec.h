// Everything that tokenizer.json says, in memory: read from the file, or made from GGUF's arrays.
// The tokenizer is built from it, and tokenizer.json is written from it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/vocabulary.h"

namespace halftone {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // matches only where no word character stands beside it
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // and on its right
  bool normalized = true;    // matches the normalized text, in its own normalized form
  bool special = false;      // left out when decoding
};

struct BpeOptions {
  std::optional<std::string> unknown;  // unk_token
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
};

struct TokenizerSpec {
  std::string origin;     // what errors name
  Vocabulary vocabulary;  // model.vocab; added tokens may be in it or not
  std::vector<Merge> merges;
  BpeOptions bpe;
  std::vector<AddedToken> added;
  Json normalizer, pre_tokenizer, post_processor, decoder;  // null where absent
};

// `origin` is named in errors. Throws Error(bad_input) for what is broken and for any option that
// is not known, named. The fields "truncation" and "padding" are ignored: they are about batches.
TokenizerSpec read_tokenizer_json(std::string_view text, const std::string& origin);
std::string write_tokenizer_json(const TokenizerSpec& spec);

// The fields of one JSON object, each asked for once; finish() refuses what nobody asked for.
class Options {
 public:
  Options(const Json& object, std::string origin);
  const std::string& origin() const { return origin_; }
  const std::string& type() const { return type_; }  // the field "type"
  std::string text(const char* key);
  bool flag(const char* key, std::optional<bool> absent = std::nullopt);
  int64_t integer(const char* key, int64_t least, int64_t most);
  const Json& list(const char* key);
  const Json* find(const char* key);  // nullptr: absent or null
  void ignore(const char* key) { asked_.emplace_back(key); }
  void finish() const;
  [[noreturn]] void unknown_type(std::string_view known) const;

 private:
  const Json& get(const char* key);
  const Json& object_;
  std::string origin_, type_;
  std::vector<std::string> asked_;
};

}  // namespace halftone
