// Whether the zeros of a GPTQ model are what its label says, looked at briefly before it is used.
#pragma once

#include <optional>
#include <string>

#include "apps/open_model.h"

namespace halftone {

// What is wrong with the label of an asymmetric GPTQ model; nothing for others, and where too
// little tells. Reads some rows of a few linears. (Symmetric ones have a zero that is known, and
// are read by it, whatever the label.)
std::optional<std::string> wrong_label(const OpenedModel& model);
std::string label_hint(const OpenedModel& model);  // what to do about it

// Warns of it.
void warn_of_wrong_label(const OpenedModel& model);

}  // namespace halftone
