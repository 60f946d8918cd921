// Name → backend. The only place that knows which backends this build has.
#include <algorithm>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/ref/ref_backend.h"
#include "base/error.h"

namespace halftone {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<Backend> (*make)(const BackendOptions&);
};

constexpr Entry kBackends[] = {
    {"cpu", make_cpu_backend},
    {"ref", make_ref_backend},
};

}  // namespace

std::unique_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options) {
  if (device == "auto") device = kBackends[0].name;
  for (const Entry& entry : kBackends)
    if (entry.name == device) return entry.make(options);
  throw usage_error("--device {}: not a device of this build", device).hint("use auto or cpu.");
}

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackends) names.emplace_back(entry.name);
  return names;
}

}  // namespace halftone
