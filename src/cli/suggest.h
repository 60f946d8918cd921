// Command-line mistakes in plain words, with the nearest name that would have been right.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace halftone {

struct Complaint {
  std::string message, hint;
};

// What was wrong with the command line. `app` is the program.
Complaint explain(const CLI::App& app, const CLI::ParseError& error);

// The candidate with the smallest edit distance to `word`, if that is small enough to be a slip.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace halftone
