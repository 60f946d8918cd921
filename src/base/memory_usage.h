// Memory that this process takes: anonymous pages (not mapped files), now and at their peak.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace halftone {

int64_t anonymous_memory();  // bytes, RssAnon of /proc/self/status
// What this process may take: the cgroup's limit, else the machine's memory.
int64_t memory_limit();

// Watches the peak from a thread of its own, every few milliseconds, while it lives.
class MemoryWatch {
 public:
  MemoryWatch();
  ~MemoryWatch();
  int64_t peak() const;

 private:
  std::atomic<int64_t> peak_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace halftone
