// What is in a model: configuration, tensors by role, tokenizer, template, keys.
#pragma once

#include <string>

#include "apps/open_model.h"
#include "base/json.h"

namespace halftone {

Json inspect_json(const OpenedModel& model);
std::string inspect_text(const OpenedModel& model);

}  // namespace halftone
