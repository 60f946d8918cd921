// The table of formats.
#include "format/format.h"

#include <array>

#include "base/error.h"
#include "format/gptq.h"

namespace halftone {
namespace {

constexpr std::array kFormats = {
    Format{.name = "gptq",
           .grid = gptq_grid,
           .pack = pack_gptq,
           .packed_plan = plan_gptq,
           .configuration = gptq_configuration,
           .side_files = gptq_side_files,
           .readers = gptq_readers},
};

}  // namespace

std::span<const Format> formats() { return kFormats; }

const Format& find_format(std::string_view name) {
  std::string known;
  for (const Format& format : kFormats) {
    if (format.name == name) return format;
    known += (known.empty() ? "" : ", ") + std::string(format.name);
  }
  throw usage_error("--format {}: not a format, expected one of {}", name, known)
      .hint("halftone quantize --help says what each is for.");
}

}  // namespace halftone
