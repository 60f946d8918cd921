// The survey from the driver, the plug-in and the places of CUDA's libraries.
#include "backend/gpu_survey.h"

#include <fmt/core.h>

#include "backend/cuda/loader/cuda_libraries.h"
#include "backend/cuda/loader/cuda_plugin.h"

namespace halftone {

GpuSurvey survey_gpus() {
  const CudaDriver driver = ask_cuda_driver();
  GpuSurvey survey;
  survey.has_driver = driver.trouble.empty();
  survey.driver = survey.has_driver ? fmt::format("serves CUDA {}.{}", driver.version / 1000,
                                                  driver.version % 1000 / 10)
                                    : driver.trouble;
  for (size_t i = 0; i < driver.cards.size(); ++i) {
    const CudaCard& card = driver.cards[i];
    survey.gpus.push_back({card.name, card.major, card.minor, card.memory,
                           trouble_with(driver, static_cast<int>(i))});
  }
  const CudaChoice choice = consider_cuda();
  survey.usable = choice.usable;
  survey.reason = choice.reason;
  if (HALFTONE_CUDA_MAJOR > 0) survey.libraries = cuda_library_folders(HALFTONE_CUDA_MAJOR);
  return survey;
}

}  // namespace halftone
