// halftone doctor: what this machine has, and what each of it means for speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/gpu_survey.h"
#include "base/json.h"

namespace halftone {

// Of the first processor in Linux's /proc/cpuinfo.
struct ProcessorFacts {
  std::string name;  // "AMD EPYC 9654"
  bool avx2 = false, avx512 = false, vnni = false, avx512_bf16 = false, amx = false;
};
ProcessorFacts read_cpuinfo(const std::string& text);

struct CacheFacts {
  std::string path, what;  // "Hugging Face hub"
  bool there = false;
  int64_t models = 0;
};

struct MachineFacts {
  ProcessorFacts processor;
  int processors = 0, usable_processors = 0;  // of the machine; of this process
  std::string instructions;                   // that the CPU backend uses
  bool native_bf16 = false;
  int64_t memory = 0, memory_limit = 0, memory_available = 0;  // bytes; the limit is the cgroup's
  std::string disk_path;
  int64_t disk_free = 0;
  GpuSurvey gpus;
  std::vector<CacheFacts> caches;
};
MachineFacts examine_machine();

std::string machine_text(const MachineFacts& facts);
Json machine_json(const MachineFacts& facts);

}  // namespace halftone
