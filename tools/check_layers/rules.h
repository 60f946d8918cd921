// The rules of the source tree, each with the message that it gives (design: layers, sizes, no
// global state).
//
//   src/quant/gptq.cpp:7: layer: quant may not include model/config.h (only quant, backend, tensor,
//   base)
#pragma once

#include <string>
#include <vector>

namespace halftone::check {

struct Finding {
  std::string path;
  int line;
  std::string message;
};

// `path` is relative to the repository's root: "src/quant/gptq.cpp".
std::vector<Finding> check_source(const std::string& path, const std::string& text);

}  // namespace halftone::check
