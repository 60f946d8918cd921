// Texts as values of a TOML file that a command line's parser reads back (quantize.toml).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace halftone {

// Between single quotes, where nothing is escaped, when it holds backslashes or double quotes; else
// between double quotes. CLI11 before 2.4 takes backslashes as they stand in both: regular
// expressions, and some files' names, are read right in the first form alone.
std::string toml_quoted(const std::string& text);
std::string toml_list(const std::vector<std::string>& texts);  // "[\"a\", \"b\"]"

// The texts of such a value: one, or a list; words without quotes as they stand. Throws
// Error(bad_input) naming `origin` for what is no text between double quotes.
std::vector<std::string> read_toml_strings(std::string_view value, const std::string& origin);

}  // namespace halftone
