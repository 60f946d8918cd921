// What NVIDIA's driver says of this machine's cards, asked without CUDA's libraries or our plug-in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace halftone {

struct CudaCard {
  std::string name;          // "NVIDIA H200"
  int major = 0, minor = 0;  // compute capability
  int64_t memory = 0;        // bytes
};

struct CudaDriver {
  std::string trouble;  // why no card can be used; empty: cards are there
  int version = 0;      // CUDA's, 1000 · major + 10 · minor: 13000
  std::vector<CudaCard> cards;
};

CudaDriver ask_cuda_driver();

}  // namespace halftone
