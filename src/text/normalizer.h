// tokenizer.json's "normalizer": text to text, before anything is split.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace halftone {

struct NormalizerStep;  // normalizer.cpp

// Whether a text stands for itself, or goes on where another ended: then nothing is put before it.
enum class TextPart : uint8_t { whole, continued };

class Normalizer {
 public:
  // null: the text stays. Throws Error(bad_input) for a type or an option that is not known.
  // Known: Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, ByteLevel.
  Normalizer(const Json& json, const std::string& origin);
  ~Normalizer();
  Normalizer(Normalizer&&) noexcept;

  void run(std::string& text, TextPart part = TextPart::whole) const;
  // Whether a text may be cut before `next`, behind a letter that no normal form changes: what
  // `next` becomes, one of a space, a line feed, a full stop, a comma (the ideographic ones too) or
  // U+2581; nothing when some step does not work on both parts as on the whole.
  std::optional<char32_t> at_cut(char32_t next) const;

 private:
  std::vector<std::unique_ptr<NormalizerStep>> steps_;
};

}  // namespace halftone
