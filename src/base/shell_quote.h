// Commands that the program prints are for copying into a shell.
#pragma once

#include <string>
#include <string_view>

namespace halftone {

// `word` as one word of a POSIX shell's command line: as it is where no character of it means
// anything there, else between single quotes.
std::string shell_quoted(std::string_view word);

}  // namespace halftone
