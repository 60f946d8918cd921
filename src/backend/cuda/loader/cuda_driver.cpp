#include "backend/cuda/loader/cuda_driver.h"

#include <dlfcn.h>
#include <fmt/core.h>

namespace halftone {
namespace {

// The driver's own interface (cuda.h), of which a handful of functions is needed.
using Init = int (*)(unsigned);
using GetInt = int (*)(int*);
using GetDevice = int (*)(int*, int);
using GetName = int (*)(char*, int, int);
using GetAttribute = int (*)(int*, int, int);
using GetMemory = int (*)(size_t*, int);
using GetErrorString = int (*)(int, const char**);
constexpr int kMajorAttribute = 75, kMinorAttribute = 76;

template <class Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

std::string error_text(void* library, int code) {
  const char* text = nullptr;
  const auto get = find<GetErrorString>(library, "cuGetErrorString");
  if (get && get(code, &text) == 0 && text) return text;
  return fmt::format("error {}", code);
}

void list_cards(void* library, CudaDriver& driver) {
  const auto count_of = find<GetInt>(library, "cuDeviceGetCount");
  const auto device_of = find<GetDevice>(library, "cuDeviceGet");
  const auto name_of = find<GetName>(library, "cuDeviceGetName");
  const auto attribute_of = find<GetAttribute>(library, "cuDeviceGetAttribute");
  const auto memory_of = find<GetMemory>(library, "cuDeviceTotalMem_v2");
  int count = 0;
  if (!count_of || !device_of || !name_of || !attribute_of || !memory_of || count_of(&count) != 0)
    return;
  for (int index = 0; index < count; ++index) {
    int device = 0;
    char name[128] = "";
    size_t memory = 0;
    CudaCard card;
    if (device_of(&device, index) == 0 && name_of(name, sizeof name, device) == 0 &&
        attribute_of(&card.major, kMajorAttribute, device) == 0 &&
        attribute_of(&card.minor, kMinorAttribute, device) == 0)
      memory_of(&memory, device);
    card.name = name;
    card.memory = static_cast<int64_t>(memory);
    driver.cards.push_back(card);
  }
}

}  // namespace

CudaDriver ask_cuda_driver() {
  CudaDriver driver;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);  // stays: a driver is not unloaded
  if (!library) {
    driver.trouble = "no NVIDIA driver is installed (libcuda.so.1 was not found)";
    return driver;
  }
  const auto version_of = find<GetInt>(library, "cuDriverGetVersion");
  const auto init = find<Init>(library, "cuInit");
  if (!version_of || !init || version_of(&driver.version) != 0) {
    driver.trouble = "libcuda.so.1 is not NVIDIA's driver";
    return driver;
  }
  if (const int code = init(0); code != 0) {
    driver.trouble = fmt::format("the NVIDIA driver does not start: {}", error_text(library, code));
    return driver;
  }
  list_cards(library, driver);
  if (driver.cards.empty()) driver.trouble = "the NVIDIA driver sees no card";
  return driver;
}

}  // namespace halftone
