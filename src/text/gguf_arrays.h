// The reverse of gguf_tokenizer.h: tokenizer.json as the arrays that a GGUF file carries.
#pragma once

#include "io/metadata.h"

namespace halftone {

// `rows` tokens, one a row of the embedding table: places without one are unused. A GGUF's own
// arrays pass through. Throws Error(bad_input) when there is no tokenizer, it has more tokens than
// rows, or a pre-tokenizer that llama.cpp has no name for.
GgufTokenizer gguf_tokenizer_of(const Metadata& metadata, int64_t rows);

}  // namespace halftone
