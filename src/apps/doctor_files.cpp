#include "apps/doctor_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace halftone {

namespace fs = std::filesystem;

std::vector<std::string> stray_weight_files(const Checkpoint& checkpoint) {
  std::vector<std::string> strays;
  if (checkpoint.is_gguf() || !fs::is_directory(checkpoint.path())) return strays;
  std::set<std::string> own;
  for (const ContainerEntry& entry : checkpoint.entries())
    own.insert(fs::path(entry.file).filename().string());
  for (const fs::directory_entry& file : fs::directory_iterator(checkpoint.path())) {
    const std::string name = file.path().filename().string();
    const bool weights = name.ends_with(".safetensors") || name.ends_with(".gguf");
    if (weights && !own.contains(name)) strays.push_back(name);
  }
  std::ranges::sort(strays);
  return strays;
}

}  // namespace halftone
