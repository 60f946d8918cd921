#include "backend/cuda/loader/cuda_plugin.h"

#include <dlfcn.h>

#include <charconv>
#include <filesystem>

#include "backend/cuda/loader/cuda_libraries.h"
#include "backend/cuda/loader/plugin.h"
#include "base/error.h"
#include "base/progress.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

constexpr int kLeastVersion = HALFTONE_CUDA_MAJOR * 1000;  // of the driver
constexpr int kLeastMajor = 7, kLeastMinor = 5;            // compute capability: Turing

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

bool too_old(const CudaCard& card) {
  return card.major < kLeastMajor || (card.major == kLeastMajor && card.minor < kLeastMinor);
}

fs::path plugin_path() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path() / "libhalftone_cuda.so";
}

int index_of(std::string_view device) {
  if (device == "cuda") return 0;
  int index = -1;
  const std::string_view number = device.substr(std::string_view("cuda:").size());
  const auto end = number.data() + number.size();
  const auto [rest, error] = std::from_chars(number.data(), end, index);
  if (error != std::errc() || rest != end || index < 0)
    throw usage_error("--device {}: expected cuda or cuda:N, N = 0, 1, …", device);
  return index;
}

const CudaPlugin& load_plugin() {
  const fs::path path = plugin_path();
  std::error_code error;
  if (!fs::exists(path, error))
    throw usage_error("{}: the CUDA plug-in is not beside the program", path.string());
  load_cuda_libraries(HALFTONE_CUDA_MAJOR);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays until the program ends
  if (!library) throw usage_error("{}: cannot be loaded: {}", path.string(), dlerror());
  const auto plugin = reinterpret_cast<CudaPluginFunction>(dlsym(library, kCudaPluginSymbol));
  if (!plugin) throw usage_error("{}: not a plug-in of this program", path.string());
  const CudaPlugin& found = *plugin();
  if (std::string_view(found.build) != HALFTONE_BUILD)
    throw usage_error("{}: of halftone {}, expected {}", path.string(), found.build, HALFTONE_BUILD)
        .hint("Put the plug-in that was built with this program beside it.");
  return found;
}

}  // namespace

std::string trouble_with(const CudaDriver& driver, int index) {
  if (HALFTONE_CUDA_MAJOR == 0)
    return "this program was built without CUDA (no CUDA compiler was found then)";
  if (!driver.trouble.empty()) return driver.trouble;
  if (driver.version < kLeastVersion)
    return fmt::format("the driver is too old: it serves CUDA {}, expected {} or newer",
                       version_text(driver.version), version_text(kLeastVersion));
  if (index >= static_cast<int>(driver.cards.size()))
    return fmt::format("there is no card {}: this machine has {} (cuda:0{})", index,
                       driver.cards.size(),
                       driver.cards.size() > 1 ? fmt::format(" to cuda:{}", driver.cards.size() - 1)
                                               : std::string());
  const CudaCard& card = driver.cards[static_cast<size_t>(index)];
  if (too_old(card))
    return fmt::format("{} is too old: its compute capability is {}.{}, expected {}.{} or newer",
                       card.name, card.major, card.minor, kLeastMajor, kLeastMinor);
  return "";
}

CudaChoice consider_cuda() {
  const CudaDriver driver = ask_cuda_driver();
  const std::string trouble = trouble_with(driver, 0);
  if (!trouble.empty()) return {false, trouble};
  try {
    load_plugin();
  } catch (const Error& error) {
    return {false, error.what()};
  }
  const CudaCard& card = driver.cards[0];
  return {true, fmt::format("{}, {}, driver for CUDA {}", card.name, human_bytes(card.memory),
                            version_text(driver.version))};
}

std::unique_ptr<Backend> make_cuda_backend(std::string_view device, const BackendOptions& options) {
  const int index = index_of(device);
  if (const std::string trouble = trouble_with(ask_cuda_driver(), index); !trouble.empty())
    throw usage_error("--device {}: {}", device, trouble)
        .hint("--device cpu does the same, slower.");
  return std::unique_ptr<Backend>(load_plugin().make(index, options));
}

}  // namespace halftone
