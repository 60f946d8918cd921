// halftone doctor MODEL --fix -o OUT: a copy of which only the label is changed.
#pragma once

#include <string>

#include "apps/doctor_model.h"

namespace halftone {

// `text`, a config.json (`inside`: the key of the quantization in it) or a quantize_config.json
// (`inside` empty), with GPTQ's version changed: the value alone is replaced, every other byte
// stays, where that gives the same JSON; a file that names no version gets a checkpoint_format.
// Throws Error(bad_input), naming `origin`.
std::string relabelled(const std::string& text, const std::string& inside, GptqVersion version,
                       const std::string& origin);

// Copies every file of the model's directory to `output`, which appears whole or not at all,
// relabels, and weighs the label again. The diagnosis has a `relabel`. Throws Error(usage) when
// output exists and not `force`, or is the model itself.
void repair_label(const ModelDiagnosis& diagnosis, const std::string& output, bool force);

}  // namespace halftone
