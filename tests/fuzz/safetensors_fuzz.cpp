// Any bytes are a safetensors file or an Error; what is accepted lies within the file.
#include "base/error.h"
#include "io/safetensors.h"
#include "memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const halftone::MemoryFile file(bytes, size);
  try {
    const halftone::SafetensorsFile read(file.path());
    volatile unsigned sum = 0;
    for (const auto& entry : read.entries())
      for (const std::byte byte : entry.bytes) sum = sum + static_cast<unsigned>(byte);
  } catch (const halftone::Error&) {
  }
  return 0;
}
