// Facts from /proc, the cgroup, the file system, the backends and the driver.
#include "apps/doctor_machine.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "backend/backend.h"
#include "base/file.h"
#include "base/memory_usage.h"
#include "base/thread_pool.h"
#include "io/find_model.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

std::string slurp(const char* path) {  // of /proc, whose files have no size
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The value of the first "key : value" line.
std::string field(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

int64_t available_memory() {
  const std::string text = field(slurp("/proc/meminfo"), "MemAvailable");
  return text.empty() ? 0 : std::atoll(text.c_str()) * 1024;
}

int64_t count_entries(const fs::path& folder, bool (*counts)(const fs::path&)) {
  std::error_code none;
  int64_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder, none))
    count += counts(entry.path()) ? 1 : 0;
  return count;
}

std::vector<CacheFacts> examine_caches() {
  std::vector<CacheFacts> caches;
  std::error_code none;
  for (const std::string& path : hub_caches())
    caches.push_back({path, "Hugging Face hub", fs::is_directory(path, none),
                      count_entries(path, [](const fs::path& entry) {
                        return entry.filename().string().starts_with("models--");
                      })});
  const std::string own = fetch_cache() + "/models";
  caches.push_back({own, "halftone's fetch script", fs::is_directory(own, none),
                    count_entries(own, [](const fs::path&) { return true; })});
  return caches;
}

}  // namespace

ProcessorFacts read_cpuinfo(const std::string& text) {
  ProcessorFacts facts;
  facts.name = field(text, "model name");
  const std::string flags = " " + field(text, "flags") + " ";
  const auto has = [&](std::string_view flag) {
    return flags.find(" " + std::string(flag) + " ") != std::string::npos;
  };
  facts.avx2 = has("avx2") && has("fma");
  facts.avx512 = has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  facts.vnni = has("avx512_vnni") || has("avx_vnni");
  facts.avx512_bf16 = has("avx512_bf16");
  facts.amx = has("amx_tile") && has("amx_bf16");
  return facts;
}

MachineFacts examine_machine() {
  MachineFacts facts;
  facts.processor = read_cpuinfo(slurp("/proc/cpuinfo"));
  facts.processors = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.usable_processors = available_processors();
  const auto backend = make_backend("cpu", {.threads = 1});
  facts.instructions = backend->info().instructions;
  facts.native_bf16 = backend->info().native_bf16;
  facts.memory = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  facts.memory_limit = memory_limit();
  facts.memory_available = available_memory();
  facts.disk_path = fs::current_path().string();
  facts.disk_free = free_disk_bytes(facts.disk_path);
  facts.gpus = survey_gpus();
  facts.caches = examine_caches();
  return facts;
}

}  // namespace halftone
