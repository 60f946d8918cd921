// tokenizer.json's "decoder": tokens to text. It works token by token, so that a stream and a whole
// text go the same way.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace halftone {

struct DecoderStage;  // decoder.cpp

class Decoder {
 public:
  // null: tokens joined by spaces. Throws Error(bad_input) for a type or an option that is not
  // known. Known: Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace.
  Decoder(const Json& json, const std::string& origin);
  ~Decoder();
  Decoder(Decoder&&) noexcept;

  // One text that is being decoded.
  class Stream {
   public:
    explicit Stream(const Decoder& decoder);
    // Appends to `out` what the token makes certain: always whole characters. Held back is what a
    // later token can change: a character's first bytes, a run of byte tokens, the space that Strip
    // may take from the end.
    void push(std::string_view token, std::string& out);
    void finish(std::string& out);

   private:
    struct State {
      std::string held;
      int64_t count = 0;
    };
    void enter(size_t stage, std::string_view token, std::string& out);
    const Decoder& decoder_;
    std::vector<State> states_;  // of each stage
    friend struct DecoderStage;
  };

 private:
  std::vector<std::unique_ptr<DecoderStage>> stages_;
};

}  // namespace halftone
