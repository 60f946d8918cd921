// Name → backend. The only place that knows which backends this build has.
#include <algorithm>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/loader/cuda_plugin.h"
#include "backend/ref/ref_backend.h"
#include "base/error.h"

namespace halftone {
namespace {

struct Entry {
  std::string_view name;
  bool numbered = false;  // name:N is a device, too
  std::unique_ptr<Backend> (*make)(std::string_view device, const BackendOptions&);
};

constexpr Entry kBackends[] = {
    {"cpu", false, [](std::string_view, const BackendOptions& o) { return make_cpu_backend(o); }},
    {"cuda", true, make_cuda_backend},
    {"ref", false, [](std::string_view, const BackendOptions& o) { return make_ref_backend(o); }},
};

bool names(const Entry& entry, std::string_view device) {
  if (entry.name == device) return true;
  return entry.numbered && device.starts_with(entry.name) && device[entry.name.size()] == ':';
}

}  // namespace

DeviceChoice choose_device(std::string_view device) {
  if (device != "auto") return {std::string(device), "asked for"};
  const CudaChoice cuda = consider_cuda();
  return {cuda.usable ? "cuda" : "cpu", cuda.reason};
}

std::unique_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options) {
  const std::string chosen = choose_device(device).device;
  for (const Entry& entry : kBackends)
    if (names(entry, chosen)) return entry.make(chosen, options);
  throw usage_error("--device {}: not a device of this build", device)
      .hint("use auto, cpu, cuda or cuda:N.");
}

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackends) names.emplace_back(entry.name);
  return names;
}

}  // namespace halftone
