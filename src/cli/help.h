// --help as this program words it: an option's type and default, and no more clutter.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace halftone {

std::shared_ptr<CLI::Formatter> make_help();  // shared because CLI11 wants it so

}  // namespace halftone
