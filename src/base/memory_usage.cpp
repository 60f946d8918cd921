#include "base/memory_usage.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "base/cgroup.h"

namespace halftone {

int64_t anonymous_memory() {
  std::ifstream status("/proc/self/status");
  int64_t resident = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
    if (line.starts_with("VmRSS:")) resident = std::stoll(line.substr(6)) * 1024;
  }
  return resident;  // kernels before 4.5 do not tell them apart
}

int64_t memory_limit() {
  const int64_t machine = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  return std::min(machine, cgroup_memory().value_or(machine));
}

MemoryWatch::MemoryWatch() : peak_(anonymous_memory()) {
  thread_ = std::thread([this] {
    while (!stopping_) {
      peak_ = std::max(peak_.load(), anonymous_memory());
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
}

MemoryWatch::~MemoryWatch() {
  stopping_ = true;
  thread_.join();
}

int64_t MemoryWatch::peak() const { return std::max(peak_.load(), anonymous_memory()); }

}  // namespace halftone
