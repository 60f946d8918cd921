// Small models are loaded before a bar could be read: none is drawn for them.
#include "apps/load_weights.h"

#include <optional>

#include "base/clock.h"
#include "base/progress.h"

namespace halftone {

std::unique_ptr<WeightProvider> load_weights(Backend& backend, const OpenedModel& model,
                                             DType compute, bool quiet) {
  constexpr std::chrono::milliseconds kSilent{500};
  const auto start = Clock::now();
  std::optional<Progress> progress;
  const auto show = [&](size_t done, size_t all) {
    if (!progress && Clock::now() - start > kSilent)
      progress.emplace("Loading " + model.name(), static_cast<double>(all), quiet);
    if (progress) progress->update(static_cast<double>(done), "");
  };
  auto provider = make_provider(backend, *model.tensors, {.compute = compute, .on_load = show});
  if (progress) progress->finish();
  return provider;
}

}  // namespace halftone
