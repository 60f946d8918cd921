// tokenizer.json's "normalizer": text to text, before anything is split.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace halftone {

struct NormalizerStep;  // normalizer.cpp

class Normalizer {
 public:
  // null: the text stays. Throws Error(bad_input) for a type or an option that is not known.
  // Known: Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, ByteLevel.
  Normalizer(const Json& json, const std::string& origin);
  ~Normalizer();
  Normalizer(Normalizer&&) noexcept;

  void run(std::string& text) const;

 private:
  std::vector<std::unique_ptr<NormalizerStep>> steps_;
};

}  // namespace halftone
