// Any bytes are JSON or an Error; what is accepted can be written and read again.
#include <cstdlib>

#include "base/error.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  halftone::Json json;
  try {
    json = halftone::parse_json({reinterpret_cast<const char*>(bytes), size}, "fuzz");
  } catch (const halftone::Error&) {
    return 0;
  }
  if (halftone::parse_json(json.dump(), "again").dump() != json.dump()) std::abort();
  return 0;
}
