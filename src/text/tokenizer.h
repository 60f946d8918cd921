// The byte-pair tokenizer: tokenizer.json's pipeline (normalizer → pre-tokenizer → BPE →
// post-processor, added tokens around it) with ids identical to the `tokenizers` library's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/metadata.h"

namespace halftone {

class Tokenizer {
 public:
  // From tokenizer.json, or from GGUF's arrays (through the same JSON: see gguf_tokenizer.h).
  // Throws Error(bad_input) when there is none, or for an option that is not known (named).
  static Tokenizer load(const Metadata& metadata);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Text is UTF-8; invalid bytes become U+FFFD as Python's errors="replace" makes them.
  // add_special: what the post-processor adds (BOS, EOS). Special tokens in the text are
  // recognized. Safe to call from several threads. Linear in the text's length.
  std::vector<int32_t> encode(std::string_view text, bool add_special) const;
  // special tokens left out when skip_special.
  std::string decode(const std::vector<int32_t>& ids, bool skip_special = true) const;
  // The token as the vocabulary spells it ("Ġthe"), added tokens as their content.
  std::string piece(int32_t id) const;

  int64_t vocab_size() const;          // largest id + 1
  std::optional<int32_t> bos() const;  // only when encode(…, true) puts it first
  std::optional<int32_t> id_of(std::string_view piece) const;
  bool is_special(int32_t id) const;
  std::string kind() const;  // "byte-level BPE", "BPE with byte fallback"
  // Two tokenizers with the same hash give the same ids: over vocabulary, merges, added tokens,
  // pipeline.
  std::string fingerprint() const;

 private:
  friend class StreamDecoder;
  friend class StreamEncoder;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Turns a text that comes part by part into ids as they become certain: those of all push() and of
// finish() are, joined, what encode() of the whole text returns. `part` bytes are gathered before a
// place is sought at which the text can be cut (text/cut_places.h); all that comes, while there is
// none.
class StreamEncoder {
 public:
  explicit StreamEncoder(const Tokenizer& tokenizer, bool add_special = false,
                         size_t part = size_t{64} << 10);
  ~StreamEncoder();
  // Appends to `ids`. A part may end within a character; all parts together are well-formed UTF-8.
  void push(std::string_view text, std::vector<int32_t>& ids);
  void finish(std::vector<int32_t>& ids);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Turns ids into text as they come; holds back bytes until they are whole characters. Special
// tokens are left out. All that push() and finish() return is, joined, what decode() of all ids
// returns.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer);
  ~StreamDecoder();
  std::string push(int32_t id);  // what became printable
  std::string finish();          // the rest; broken characters as U+FFFD

 private:
  struct State;
  const Tokenizer& tokenizer_;
  std::unique_ptr<State> state_;
};

// tokenizer.json and tokenizer_config.json as AutoTokenizer reads them, from GGUF's arrays.
struct TokenizerTexts {
  std::string tokenizer_json, tokenizer_config_json, special_tokens_map_json;
};
TokenizerTexts tokenizer_files_from_gguf(const GgufTokenizer& gguf,
                                         const std::string& chat_template);

}  // namespace halftone
