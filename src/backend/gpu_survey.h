// What graphics cards there are, and what stands between them and this program: for people, not for
// computing (choose_device() of backend.h decides).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace halftone {

struct SurveyedGpu {
  std::string name;          // "NVIDIA H200"
  int major = 0, minor = 0;  // compute capability
  int64_t memory = 0;        // bytes
  std::string trouble;       // why it cannot be used; empty: it can
};

struct GpuSurvey {
  std::string driver;  // "serves CUDA 13.0"; why there is none
  bool has_driver = false;
  std::vector<SurveyedGpu> gpus;
  bool usable = false;                 // what --device auto would take
  std::string reason;                  // why, or why not
  std::vector<std::string> libraries;  // folders in which CUDA's libraries are looked for
};

GpuSurvey survey_gpus();

}  // namespace halftone
