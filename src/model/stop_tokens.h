// Where generation stops: eos_token_id, of generation_config.json before config.json, as
// Transformers' generate() has it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/metadata.h"

namespace halftone {

struct StopTokens {
  std::vector<int32_t> ids;
  // Ids beyond the vocabulary, with where they stand: "config.json: eos_token_id 128009 is not in
  // the vocabulary of 49,152". Empty: none. They can never be produced; configurations of cut-down
  // models have them beside others.
  std::string outside;
};

// Of a family with a configuration within the configuration ("text_config") also that one's. Throws
// Error(bad_input), naming the file, for what is no id.
StopTokens read_stop_tokens(const Metadata& metadata, int64_t vocab);

}  // namespace halftone
