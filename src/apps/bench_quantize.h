// What a quantization will cost: the real pipeline on a few layers of a model's shape, stage by
// stage, and what that makes for all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/quantize.h"
#include "base/json.h"

namespace halftone {

struct BenchQuantizeOptions {
  std::string shape;         // a known name, or a model
  int64_t layers = 0;        // to be run; 0: as many as say enough
  std::string workdir;       // empty: in memory where there is room, else the temporary directory
  QuantizeOptions quantize;  // but output and calibration
};

// What this machine does at its best, measured in the same run.
struct Ceilings {
  DType product_type = DType::f32;
  double products = 0, f32_products = 0;  // operations a second
  double copy = 0, upload = 0;            // bytes a second
};

// A stage of a layer.
struct BenchStage {
  std::string name;
  double seconds = 0;                // a layer, when nothing runs beside it
  double operations = 0, bytes = 0;  // a layer
  std::optional<double> of_ceiling;  // 0 to 1
  std::optional<double> hidden;      // share of its seconds in which other work went on
};

// What the loss on held-out windows is made of, and how near the machine's best it comes: products
// with the head, and log-softmax, KL and top 1 in one pass over the logits.
struct BenchLoss {
  double head_seconds = 0, score_seconds = 0;
  double operations = 0;  // of the head
  double bytes = 0;       // of logits, read once
};

// What is done once, whatever the layers take.
struct BenchTask {
  std::string name;
  double seconds = 0;      // measured
  double seconds_all = 0;  // with all layers
};

struct BenchQuantizeResult {
  std::string shape, device;
  int64_t layers = 0, layers_measured = 0, samples = 0, seq_len = 0, tokens = 0;
  std::string samples_text;  // "128 windows of 2,048 tokens"
  std::vector<BenchStage> stages;
  std::vector<BenchTask> tasks;
  BenchLoss loss;
  double everything_else = 0;    // seconds a layer
  double seconds_per_layer = 0;  // median, the first apart where there are more
  double seconds_measured = 0;   // the run of layers_measured
  double seconds = 0;            // all layers
  std::optional<double> seconds_error;
  int64_t device_bytes = 0;  // 0: the device is the host
  int64_t host_bytes = 0;
  Ceilings ceilings;
};

// Throws Error(usage) for a shape that is not known, Error(resources) when there is no room.
BenchQuantizeResult bench_quantize(Backend& backend, const BenchQuantizeOptions& options);
std::string bench_table(const BenchQuantizeResult& result);
Json to_json(const BenchQuantizeResult& result);

}  // namespace halftone
