// check_layers ROOT: holds every C++ source of the repository to the rules of rules.h. Exits with 1
// and one line a finding when some file breaks one.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "rules.h"

namespace fs = std::filesystem;

int main(int argc, char** argv) {
  const fs::path root = argc > 1 ? argv[1] : ".";
  std::vector<fs::path> sources;
  for (const char* folder : {"src", "tests", "tools", "bench"}) {
    if (!fs::is_directory(root / folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string ending = entry.path().extension().string();
      const bool source = ending == ".h" || ending == ".cpp" || ending == ".inl" ||
                          ending == ".cu" || ending == ".cuh";
      if (entry.is_regular_file() && source) sources.push_back(entry.path());
    }
  }
  if (sources.empty()) {
    std::cerr << "check_layers: no sources under " << root << "\n";
    return 2;
  }
  std::sort(sources.begin(), sources.end());
  size_t findings = 0;
  for (const fs::path& source : sources) {
    std::ifstream in(source, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (const auto& finding :
         halftone::check::check_source(source.lexically_relative(root).generic_string(), text)) {
      std::cout << finding.path << ":" << finding.line << ": " << finding.message << "\n";
      ++findings;
    }
  }
  std::cout << "check_layers: " << sources.size() << " files, " << findings << " findings\n";
  return findings == 0 ? 0 : 1;
}
