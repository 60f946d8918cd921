// The table of formats.
#include "format/format.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "base/error.h"
#include "format/awq.h"
#include "format/compressed_tensors.h"
#include "format/gguf.h"
#include "format/gptq.h"
#include "format/mlx.h"

namespace halftone {

std::span<const Format> formats() {
  static const std::array kFormats = {
      kGptqFormat, kGptqV2Format, kAwqFormat, kCompressedTensorsFormat, kGgufFormat, kMlxFormat};
  return kFormats;
}

const Format& find_format(std::string_view name) {
  std::string known;
  for (const Format& format : formats()) {
    if (format.name == name) return format;
    known += (known.empty() ? "" : ", ") + std::string(format.name);
  }
  throw usage_error("--format {}: not a format, expected one of {}", name, known)
      .hint("halftone quantize --help says what each is for.");
}

const PackedReading* find_reading(std::string_view method) {
  for (const Format& format : formats())
    if (format.reading.open != nullptr && format.reading.method == method) return &format.reading;
  return nullptr;
}

std::vector<PackedTensor> empty_tensors(std::vector<TensorPlan> plan) {
  std::vector<PackedTensor> tensors;
  for (TensorPlan& tensor : plan)
    tensors.push_back({std::move(tensor.name), std::move(tensor.type), std::move(tensor.shape),
                       std::vector<std::byte>(static_cast<size_t>(tensor.bytes))});
  return tensors;
}

Grid main_grid(std::span<const PlannedModule> modules) {
  const bool blocks = std::any_of(modules.begin(), modules.end(), [](const PlannedModule& module) {
    return !module.skipped && is_linear(module.role);
  });
  std::vector<std::pair<Grid, int64_t>> weights;  // of each grid
  for (const PlannedModule& module : modules) {
    if (module.skipped || (blocks && !is_linear(module.role))) continue;
    auto same = std::find_if(weights.begin(), weights.end(),
                             [&](const auto& entry) { return entry.first == module.grid; });
    if (same == weights.end()) same = weights.insert(weights.end(), {module.grid, 0});
    same->second += module.rows * module.cols;
  }
  if (weights.empty()) return Grid();
  return std::max_element(weights.begin(), weights.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

bool quantizes_head(std::span<const PlannedModule> modules) {
  return std::any_of(modules.begin(), modules.end(), [](const PlannedModule& module) {
    return module.role == Role::head && !module.skipped;
  });
}

bool one_grid(std::span<const PlannedModule> modules) {
  const Grid main = main_grid(modules);
  return std::all_of(modules.begin(), modules.end(), [&](const PlannedModule& module) {
    return module.skipped || module.grid == main;
  });
}

}  // namespace halftone
