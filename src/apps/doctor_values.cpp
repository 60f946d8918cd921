// Dense values are looked at where they lie in the mapped file; scales of packed formats are dense
// tensors of their own; GGUF's blocks are decoded.
#include "apps/doctor_values.h"

#include <fmt/core.h>

#include <cmath>
#include <map>
#include <mutex>

#include "apps/open_model.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "format/stored_scales.h"
#include "model/finite.h"
#include "tensor/allocator.h"

namespace halftone {
namespace {

constexpr int64_t kValuesAtOnce = int64_t{1} << 22;  // looked at by one thread
constexpr size_t kNamed = 4;                         // tensors that a finding names

// Rows of a tensor, all of a linear's scales, or a tensor of codes, any bits of which are a code:
// it is read, that is all.
struct Task {
  const StoredTensor* tensor = nullptr;
  int64_t row_begin = 0, row_end = 0;
  const ContainerEntry* scales = nullptr;
  const ContainerEntry* codes = nullptr;
  bool offsets = false;  // they are MLX's biases: zero is as good a value as another
  int64_t values() const {
    const ContainerEntry* part = scales != nullptr ? scales : codes;
    return part != nullptr ? static_cast<int64_t>(part->bytes.size()) / 2
                           : (row_end - row_begin) * tensor->cols;
  }
};

const ContainerEntry* scales_of(const Checkpoint& checkpoint, const StoredTensor& tensor) {
  if (!tensor.quantized || checkpoint.is_gguf()) return nullptr;
  for (const char* suffix : {".scales", ".weight_scale"})
    if (const ContainerEntry* entry = checkpoint.find(module_name(tensor.name) + suffix))
      return entry;
  return nullptr;
}

std::vector<Task> tasks_of(const Checkpoint& checkpoint, const WeightSource& source,
                           ScannedValues scanned) {
  std::vector<Task> tasks;
  for (const StoredTensor& tensor : source.tensors()) {
    if (tensor.quantized && scanned == ScannedValues::dense) continue;
    if (const ContainerEntry* scales = scales_of(checkpoint, tensor)) {
      tasks.push_back({&tensor, 0, 0, scales});
      const ContainerEntry* offsets = checkpoint.find(module_name(tensor.name) + ".biases");
      for (const char* suffix : {".qweight", ".weight_packed", ".weight"})
        if (const ContainerEntry* codes = checkpoint.find(module_name(tensor.name) + suffix))
          tasks.push_back({&tensor, 0, 0, nullptr, codes});
      if (offsets != nullptr) tasks.push_back({&tensor, 0, 0, offsets, nullptr, true});
      continue;
    }
    const int64_t rows = std::max<int64_t>(1, kValuesAtOnce / std::max<int64_t>(1, tensor.cols));
    for (int64_t row = 0; row < tensor.rows; row += rows)
      tasks.push_back({&tensor, row, std::min(row + rows, tensor.rows), nullptr});
  }
  return tasks;
}

void count_scales(const ContainerEntry& entry, bool offsets, ValueTrouble& trouble) {
  const auto store = scale_store_of(entry.type);
  if (!store) return;  // refused when the checkpoint was opened
  const float least = *store == ScaleStore::f16 ? 0x1p-14f : 0x1p-126f;
  trouble.scales = static_cast<int64_t>(entry.bytes.size()) / bytes_of(*store);
  for (int64_t i = 0; i < trouble.scales; ++i) {
    const float scale = std::fabs(load_scale(entry.bytes.data(), i, *store));
    if (!std::isfinite(scale))
      ++trouble.not_finite;
    else if (offsets)
      continue;
    else if (scale == 0)
      ++trouble.zero;
    else if (scale < least)
      ++trouble.denormal;
  }
}

std::string first_not_finite(const WeightSource& source, const Task& task) {
  HostAllocator host;
  Tensor decoded;
  ConstView rows;
  if (const auto mapped = source.mapped(task.tensor->name);
      mapped && (mapped->dtype == DType::f32 || mapped->dtype == DType::bf16 ||
                 mapped->dtype == DType::f16)) {
    rows = mapped->rows_of(task.row_begin, task.row_end);
  } else {
    decoded = Tensor(host, task.row_end - task.row_begin, task.tensor->cols, DType::f32);
    source.read(task.tensor->name, task.row_begin, task.row_end, decoded);
    rows = decoded;
  }
  const auto found = find_not_finite(rows);
  if (!found) return "";
  return fmt::format("{} at [{}, {}]", found->nan ? "NaN" : "infinity", task.row_begin + found->row,
                     found->col);
}

// Brings every page of a mapped file to memory: one that cannot be read ends the program.
void touch(const ContainerEntry& entry) {
  constexpr size_t kPage = 4096;
  volatile std::byte last{};
  for (size_t at = 0; at < entry.bytes.size(); at += kPage) last = entry.bytes[at];
  (void)last;
}

ValueTrouble look_at(const WeightSource& source, const Task& task) {
  ValueTrouble trouble;
  trouble.name = task.tensor->name;
  if (task.scales != nullptr) trouble.name = module_name(task.tensor->name);
  if (task.codes != nullptr)
    touch(*task.codes);
  else if (task.scales != nullptr)
    count_scales(*task.scales, task.offsets, trouble);
  else
    trouble.first = first_not_finite(source, task);
  return trouble;
}

// "a: 3 of 64 scales are zero; b: …; and 5 more".
std::string list_of(const std::vector<std::string>& parts) {
  std::string text;
  for (size_t i = 0; i < std::min(parts.size(), kNamed); ++i)
    text += (text.empty() ? "" : "; ") + parts[i];
  if (parts.size() > kNamed) text += fmt::format("; and {} more", parts.size() - kNamed);
  return text;
}

}  // namespace

std::vector<ValueTrouble> scan_values(const Checkpoint& checkpoint, const WeightSource& source,
                                      ThreadPool& threads, bool quiet, ScannedValues scanned) {
  const std::vector<Task> tasks = tasks_of(checkpoint, source, scanned);
  double total = 0, done = 0;
  for (const Task& task : tasks) total += static_cast<double>(task.values());
  Progress progress("Reading", total, quiet);
  std::vector<ValueTrouble> troubles(tasks.size());
  std::mutex mutex;
  threads.parallel_for(static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t) {
    throw_if_interrupted();
    const auto at = static_cast<size_t>(begin);
    troubles[at] = look_at(source, tasks[at]);
    const std::lock_guard lock(mutex);
    done += static_cast<double>(tasks[at].values());
    progress.update(done, tasks[at].tensor->name);
  });
  progress.finish();
  std::vector<ValueTrouble> kept;
  for (ValueTrouble& trouble : troubles) {
    if (!trouble.broken() && trouble.zero == 0 && trouble.denormal == 0) continue;
    // Scales and offsets of one module: the first that is broken is enough.
    const bool again = !kept.empty() && kept.back().name == trouble.name;
    if (again && (kept.back().broken() || !trouble.broken())) continue;
    kept.push_back(std::move(trouble));
  }
  return kept;
}

std::vector<Finding> value_findings(const std::vector<ValueTrouble>& troubles, bool scales) {
  std::vector<std::string> broken, noted;
  for (const ValueTrouble& trouble : troubles) {
    if (!trouble.first.empty()) broken.push_back(trouble.name + ": " + trouble.first);
    if (trouble.not_finite > 0)
      broken.push_back(fmt::format("{}: {} of {} scales are NaN or infinite", trouble.name,
                                   human_count(trouble.not_finite), human_count(trouble.scales)));
    if (trouble.zero > 0)
      noted.push_back(fmt::format("{}: {} of {} scales are zero", trouble.name,
                                  human_count(trouble.zero), human_count(trouble.scales)));
    if (trouble.denormal > 0)
      noted.push_back(fmt::format("{}: {} of {} scales are denormal", trouble.name,
                                  human_count(trouble.denormal), human_count(trouble.scales)));
  }
  std::vector<Finding> findings;
  if (!broken.empty())
    findings.push_back({Health::broken, "values", list_of(broken),
                        "quantize or fetch it again: every token that meets them is NaN."});
  if (!noted.empty())
    findings.push_back({Health::note, "scales", list_of(noted),
                        "groups whose scale is zero are all zeros; kernels that flush denormal "
                        "scales to zero make them so."});
  if (findings.empty())
    findings.push_back(
        {Health::good, "values",
         scales ? "every value is finite, no scale zero or denormal" : "every value is finite"});
  return findings;
}

}  // namespace halftone
