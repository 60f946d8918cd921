// What stands beside the weights.
#include "apps/quantize_output.h"

#include "apps/dynamic_rules.h"
#include "apps/side_files.h"
#include "base/file.h"

namespace halftone {

int64_t write_output(const OutputInput& input, OutputStream& weights,
                     const std::string& directory) {
  const int64_t bytes = weights.finish();
  const Plan& plan = input.outcome.plan;
  if (plan.dense || !plan.format->self_contained)
    write_side_files(*input.model.checkpoint, directory);
  write_file_atomically(directory + "/quantize.toml",
                        reproduction_config(input.options, input.model));
  if (!input.options.dynamic.empty())
    write_file_atomically(directory + "/dynamic.json",
                          DynamicRules::read(input.options.dynamic).dump(2) + "\n");
  write_file_atomically(directory + "/README.md", model_card(input));
  return bytes;
}

}  // namespace halftone
