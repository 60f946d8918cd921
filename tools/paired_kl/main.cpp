// halftone-paired-kl: KL divergence of two quantized models to the same base on the same tokens,
// and the standard error of its difference, token by token: what tells apart methods whose own
// error bars overlap.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cmath>

#include "apps/evaluate.h"
#include "base/error.h"

namespace halftone {
namespace {

struct Options {
  std::string base, one, other, text;
  EvaluateOptions evaluate;
};

// Mean of one − other over tokens, and its standard error.
std::pair<double, double> paired_difference(const std::vector<float>& one,
                                            const std::vector<float>& other) {
  const double count = static_cast<double>(one.size());
  double sum = 0, squares = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    const double difference = double{one[i]} - double{other[i]};
    sum += difference;
    squares += difference * difference;
  }
  const double mean = sum / count;
  return {mean, std::sqrt((squares / count - mean * mean) / (count - 1))};
}

int run(const Options& options) {
  const auto backend = make_backend("auto", {});
  const OpenedModel base = open_model(options.base);
  const auto scored = [&](const std::string& path) {
    return evaluate(*backend, open_model(path), &base, options.text, options.evaluate);
  };
  const Evaluation one = scored(options.one), other = scored(options.other);
  const auto [mean, error] = paired_difference(one.scores.kl, other.scores.kl);
  fmt::print("{} tokens\n", one.tokens);
  for (const auto& [path, result] : {std::pair(options.one, &one), {options.other, &other}})
    fmt::print("KL {:.5f} ± {:.5f}  perplexity {:.4f}  {}\n", *result->kl_mean, *result->kl_stderr,
               result->perplexity, path);
  fmt::print("difference {:+.5f} ± {:.5f} (paired), ratio {:.4f}\n", mean, error,
             *one.kl_mean / *other.kl_mean);
  return 0;
}

int main_program(int argc, char** argv) {
  CLI::App app("KL of two models to one base, paired");
  Options options;
  app.add_option("BASE", options.base)->required();
  app.add_option("ONE", options.one)->required();
  app.add_option("OTHER", options.other)->required();
  app.add_option("--text", options.text)->required();
  app.add_option("--windows", options.evaluate.windows);
  app.add_option("--dtype", options.evaluate.dtype);
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const Error& error) {
    fmt::print(stderr, "halftone-paired-kl: {}\n{}\n", error.what(), error.hint());
    return static_cast<int>(error.exit());
  }
}

}  // namespace
}  // namespace halftone

int main(int argc, char** argv) { return halftone::main_program(argc, argv); }
