#include "backend/cuda/loader/cuda_libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "base/error.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<std::string> split(const std::string& paths) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < paths.size();) {
    const size_t end = std::min(paths.find(':', begin), paths.size());
    if (end > begin) parts.push_back(paths.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Entries of a folder whose names begin so, sorted: the same on every run.
std::vector<fs::path> entries(const fs::path& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// The wheels put them under site-packages/nvidia: cu13/lib today, cublas/lib and so on before.
void add_wheels(const fs::path& packages, std::vector<std::string>& folders) {
  for (const fs::path& part : entries(packages / "nvidia", ""))
    if (std::error_code error; fs::is_directory(part / "lib", error))
      folders.push_back(part / "lib");
}

// The environment that a python3 on the PATH belongs to, and the users' and the system's own.
std::vector<fs::path> python_prefixes() {
  std::vector<fs::path> prefixes;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const std::string prefix = environment(name); !prefix.empty()) prefixes.push_back(prefix);
  for (const std::string& folder : split(environment("PATH"))) {
    std::error_code error;
    if (fs::exists(fs::path(folder) / "python3", error))
      prefixes.push_back(fs::path(folder).parent_path());
  }
  if (const std::string home = environment("HOME"); !home.empty())
    prefixes.push_back(fs::path(home) / ".local");
  prefixes.push_back("/usr/local");
  return prefixes;
}

// What each of them needs comes before it. The first number is CUDA's of which the second holds.
struct Library {
  const char* name;
  int less;  // than CUDA's major version: cuSOLVER 12 belongs to CUDA 13
};
constexpr Library kLibraries[] = {{"libnvJitLink.so", 0},
                                  {"libcublasLt.so", 0},
                                  {"libcublas.so", 0},
                                  {"libcusparse.so", 1},
                                  {"libcusolver.so", 1}};

bool load(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL); }

}  // namespace

std::vector<std::string> cuda_library_folders(int cuda_major) {
  std::vector<std::string> folders = split(environment("HALFTONE_CUDA_LIBS"));
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (const std::string toolkit = environment(name); !toolkit.empty())
      folders.push_back(toolkit + "/lib64");
  folders.push_back("/usr/local/cuda/lib64");
  for (const fs::path& toolkit : entries("/usr/local", fmt::format("cuda-{}", cuda_major)))
    folders.push_back(toolkit / "lib64");
  for (const fs::path& prefix : python_prefixes())
    for (const fs::path& python : entries(prefix / "lib", "python3"))
      for (const char* packages : {"site-packages", "dist-packages"})
        add_wheels(python / packages, folders);
  std::vector<std::string> unique;  // the order stays
  for (const std::string& folder : folders)
    if (std::find(unique.begin(), unique.end(), folder) == unique.end()) unique.push_back(folder);
  return unique;
}

void load_cuda_libraries(int cuda_major) {
  const std::vector<std::string> folders = cuda_library_folders(cuda_major);
  const bool named = !environment("HALFTONE_CUDA_LIBS").empty();
  for (const Library& library : kLibraries) {
    const std::string name = fmt::format("{}.{}", library.name, cuda_major - library.less);
    // What the user names comes before what the dynamic linker knows.
    if (!named && load(name)) continue;
    const bool found = std::any_of(folders.begin(), folders.end(), [&](const auto& folder) {
      std::error_code error;
      return fs::exists(fs::path(folder) / name, error) && load(fs::path(folder) / name);
    });
    if (found || (named && load(name))) continue;
    throw usage_error("{} of CUDA {} was not found: looked in the dynamic linker's folders and {}",
                      name, cuda_major, fmt::join(folders, ", "))
        .hint(
            "Install CUDA's toolkit, or the nvidia-cublas and nvidia-cusolver wheels, or name "
            "their "
            "folders in HALFTONE_CUDA_LIBS.");
  }
}

}  // namespace halftone
