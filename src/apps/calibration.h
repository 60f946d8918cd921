// The text that a quantization looks at: which files, which windows, and those that it must not
// see.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/plan.h"
#include "text/dataset.h"

namespace halftone {

struct Calibration {
  Windows samples;                 // what Hessians are made of
  Windows held_out;                // what the loss is measured on
  std::string sha256;              // of the files' hashes, in order
  std::string ids_sha256;          // of the sampled ids: part of the journal's fingerprint
  std::string source;              // "chats.jsonl (412 chats, 263,104 tokens)"
  std::vector<std::string> notes;  // what is not as asked: "the text holds 97 windows: …"
  int64_t id_bytes = 0;  // that were held at once: of all the text's ids, and of those picked
};

// Windows by the hf rule, or documents whole, shuffled with the seed: `samples`, then the held-out
// ones. Throws
// Error(usage) when no text is given and none was fetched, Error(bad_input) when it is too short.
// A method without a Hessian samples nothing, and does without text. `chat_text` renders chats: the
// model's ChatReader.
Calibration read_calibration(const Tokenizer& tokenizer, const Plan& plan,
                             const QuantizeOptions& options, const ChatText& chat_text = {});

// How many windows are held out beside so many samples: one in sixteen, at least one, at most
// eight.
int64_t wanted_held_out(int64_t samples);

// "128 windows of 2,048 tokens", "128 sequences of 17 to 8,192 tokens, 262,144 in all"; "no
// windows".
std::string windows_text(const Windows& windows);
// "128 windows of 2,048 tokens from chats.jsonl (…), 8 held out".
std::string calibration_text(const Calibration& calibration);

// Where the fetch script puts a text ("calibration.txt", "evaluation.txt"): in halftone's cache.
std::string fetched_text(const std::string& name);

// Puts what "auto" and the fetched calibration text stand for here in their places, so that
// quantize.toml says what ran.
void settle(QuantizeOptions& options, const Backend& backend);

}  // namespace halftone
