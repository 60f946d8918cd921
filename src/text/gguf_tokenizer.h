// The tokenizer of a GGUF file, from llama.cpp's arrays (tokenizer.ggml.*) to what tokenizer.json
// says.
#pragma once

#include <string>

#include "io/metadata.h"
#include "text/tokenizer_spec.h"

namespace halftone {

// Kinds "gpt2" (byte-level BPE; `pre` names the pre-tokenizer) and "llama" (SentencePiece's BPE
// with scores, as Llama 2, Mistral and Gemma have it). `origin` is named in errors. Throws
// Error(bad_input) for another kind, an unknown `pre` (says which are known) and arrays that do not
// fit together.
TokenizerSpec tokenizer_spec_from_gguf(const GgufTokenizer& gguf, const std::string& origin);

}  // namespace halftone
