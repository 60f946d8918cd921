// Any bytes are a GGUF file or an Error, and so is its metadata.
#include "base/error.h"
#include "io/gguf.h"
#include "memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const halftone::MemoryFile file(bytes, size);
  try {
    const halftone::GgufFile read(file.path());
    volatile unsigned sum = 0;
    for (const auto& entry : read.entries())
      for (const std::byte byte : entry.bytes) sum = sum + static_cast<unsigned>(byte);
    halftone::gguf_metadata(read);
  } catch (const halftone::Error&) {
  }
  return 0;
}
