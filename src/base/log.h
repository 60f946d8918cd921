// Logs go to stderr; results go to stdout and not through here.
#pragma once

#include <spdlog/spdlog.h>

namespace halftone {

// 0: warnings and errors (-q), 1: what a user wants to know, 2: details (-v), 3: everything (-vv).
// Levels are named in plain words, coloured on a terminal unless NO_COLOR is set.
void set_up_log(int verbosity);

}  // namespace halftone
