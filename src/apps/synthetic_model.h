// A model of a given shape whose weights mean nothing: what speed and memory are measured on.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/thread_pool.h"

namespace halftone {

// Throw Error(bad_input) for a configuration that is none. Bytes of its weight files:
int64_t synthetic_bytes(const Json& config);
int64_t layers_of(const Json& config);

// Fills `directory`, which exists: config.json and bf16 weights of every tensor that the
// configuration's family has. Weights are normal, most of them N(0, .02²); norms are one, with an
// outlier channel of 20 in each 500, whose weights are as much smaller: Hessians are as uneven as
// those of real models, in deep layers as in the first. The same bytes for the same configuration.
// Throws Error(resources) when there is no room.
void write_synthetic_model(const Json& config, const std::string& directory, ThreadPool& threads,
                           bool quiet);

// A model of that shape that takes no room and no time: where its weights would be, its file has a
// hole. For what is planned by names and shapes alone.
void write_synthetic_outline(const Json& config, const std::string& directory);

// tokenizer.json beside it: GPT-2's bytes, the rest of the vocabulary that no text has. For formats
// that carry a tokenizer.
void write_synthetic_tokenizer(const Json& config, const std::string& directory);

}  // namespace halftone
