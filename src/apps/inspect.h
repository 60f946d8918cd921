// What is in a model: configuration, tensors by role, tokenizer, template, keys.
#pragma once

#include <string>

#include "apps/open_model.h"
#include "base/json.h"

namespace halftone {

Json inspect_json(const OpenedModel& model);
std::string inspect_text(const OpenedModel& model);

// A line, or an entry, for each matrix by the name that --skip and --dynamic match: what it is
// stored as, and bits a weight.
std::string modules_text(const OpenedModel& model);
Json modules_json(const OpenedModel& model);

}  // namespace halftone
