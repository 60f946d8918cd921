// Where MODEL lies: what a user writes on the command line, turned into a directory or file.
#pragma once

#include <string>
#include <vector>

namespace halftone {

struct FoundModel {
  std::string path;  // a directory with config.json, or a .gguf file
  std::string name;  // for people
};

// Tries `model` as a path, then org/name in Hugging Face's cache and in ours. Throws Error(usage)
// when there is no such thing: says where it looked.
FoundModel find_model(const std::string& model);

// Where halftone's fetch script puts models and texts: $XDG_CACHE_HOME or ~/.cache, /halftone.
std::string fetch_cache();

// Directories that hold models--org--name, in the order in which they are searched.
std::vector<std::string> hub_caches();

}  // namespace halftone
