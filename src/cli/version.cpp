// Version, commit, compiler and build type; the commit comes from the build.
#include "cli/version.h"

#include <fmt/core.h>

namespace halftone {

std::string version_text() {
  return fmt::format("halftone {} ({})\n{} {}, {} build", HALFTONE_VERSION, HALFTONE_COMMIT,
                     HALFTONE_COMPILER, __VERSION__, HALFTONE_BUILD_TYPE);
}

}  // namespace halftone
