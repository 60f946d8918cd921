#include "base/cgroup.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <sstream>
#include <string_view>

namespace halftone {
namespace {

// Visits this process's cgroup of a controller and those above it, each of which limits it too.
// Within a container /proc names the path as the host sees it: what does not exist reads as
// nothing.
void visit_directories(const std::string& root, std::string_view controller, bool& unified,
                       const std::function<void(const std::string&)>& visit) {
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    unified = controllers == ",,";
    if (!unified && controllers.find("," + std::string(controller) + ",") == std::string::npos)
      continue;
    std::string mount = root + "/sys/fs/cgroup";
    if (!unified) mount += "/" + std::string(controller);
    for (std::string path = line.substr(second + 1);;) {
      while (!path.empty() && path.back() == '/') path.pop_back();
      visit(mount + path);
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
}

template <class Number>
std::optional<Number> read_number(const std::string& path) {
  std::ifstream file(path);
  Number number;
  if (file >> number) return number;
  return std::nullopt;
}

template <class Number>
void lower(std::optional<Number>& limit, Number value) {
  limit = limit ? std::min(*limit, value) : value;
}

}  // namespace

std::optional<double> cgroup_processors(const std::string& root) {
  std::optional<double> limit;
  bool unified = false;
  visit_directories(root, "cpu", unified, [&](const std::string& directory) {
    double quota = 0, period = 0;
    if (unified) {
      std::ifstream file(directory + "/cpu.max");  // "150000 100000" or "max 100000"
      if (!(file >> quota >> period)) return;
    } else {
      quota = read_number<double>(directory + "/cpu.cfs_quota_us").value_or(-1);
      period = read_number<double>(directory + "/cpu.cfs_period_us").value_or(0);
    }
    if (quota > 0 && period > 0) lower(limit, quota / period);
  });
  return limit;
}

std::optional<int64_t> cgroup_memory(const std::string& root) {
  std::optional<int64_t> limit;
  bool unified = false;
  visit_directories(root, "memory", unified, [&](const std::string& directory) {
    const std::string name = unified ? "/memory.max" : "/memory.limit_in_bytes";
    if (const auto bytes = read_number<int64_t>(directory + name); bytes && *bytes > 0)
      lower(limit, *bytes);
  });
  return limit;
}

}  // namespace halftone
