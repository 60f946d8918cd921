// The text that a quantization looks at: which files, which windows, and those that it must not
// see.
#pragma once

#include <cstdint>
#include <string>

#include "apps/plan.h"
#include "text/dataset.h"

namespace halftone {

struct Calibration {
  Windows samples;         // what Hessians are made of
  Windows held_out;        // what the loss is measured on
  std::string sha256;      // of the files' hashes, in order
  std::string ids_sha256;  // of the sampled ids: part of the journal's fingerprint
  std::string source;      // "chats.jsonl (412 documents, 263,104 tokens)"
  std::string note;        // "all 97 windows are used"; empty when as asked
  int64_t id_bytes = 0;    // that were held at once: of all the text's ids, and of those picked
};

// Windows by the hf rule, shuffled with the seed: `samples`, then the held-out ones. Throws
// Error(usage) when no text is given and none was fetched, Error(bad_input) when it is too short.
// A method without a Hessian samples nothing, and does without text.
Calibration read_calibration(const Tokenizer& tokenizer, const Plan& plan,
                             const QuantizeOptions& options);

// Where the fetch script puts a text ("calibration.txt", "evaluation.txt"): in halftone's cache.
std::string fetched_text(const std::string& name);

// Puts what "auto" and the fetched calibration text stand for here in their places, so that
// quantize.toml says what ran.
void settle(QuantizeOptions& options, const Backend& backend);

}  // namespace halftone
