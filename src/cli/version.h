// What --version says.
#pragma once

#include <string>

namespace halftone {

std::string version_text();  // version, commit, compiler, build type

}  // namespace halftone
