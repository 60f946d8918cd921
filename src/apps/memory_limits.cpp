#include "apps/memory_limits.h"

#include "base/progress.h"

namespace halftone {
namespace {

constexpr std::string_view kDevice = "device=", kHost = "host=";

bool set(int64_t& limit, const std::string& size) {
  const std::optional<int64_t> bytes = parse_bytes(size);
  if (!bytes || limit != 0) return false;
  limit = *bytes;
  return true;
}

bool set_part(MemoryLimits& limits, const std::string& part) {
  if (part.starts_with(kDevice)) return set(limits.device, part.substr(kDevice.size()));
  if (part.starts_with(kHost)) return set(limits.host, part.substr(kHost.size()));
  return set(limits.device, part);
}

}  // namespace

std::optional<MemoryLimits> parse_memory_limits(const std::string& text) {
  MemoryLimits limits;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (!set_part(limits, text.substr(begin, end - begin))) return std::nullopt;
    begin = end + 1;
  }
  return limits;
}

std::string enough_bytes(int64_t bytes) {
  std::string text = human_bytes(bytes);
  // Three digits and more are said, so that a thousandth more changes the last of them by one at
  // most.
  for (int64_t shown = bytes; *parse_bytes(text) < bytes; text = human_bytes(shown))
    shown += bytes / 1000 + 1;
  return text;
}

}  // namespace halftone
