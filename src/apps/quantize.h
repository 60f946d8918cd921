// calibrate → quantize → pack → write → verify, with a journal (design §3, "a weight's way").
#pragma once

#include "apps/held_out_loss.h"
#include "apps/plan.h"
#include "apps/stage_record.h"
#include "base/json.h"
#include "base/profile.h"

namespace halftone {

struct Calibration;
class Journal;

// What came out, for the screen, --json, the model card and the report.
struct QuantizeOutcome {
  Plan plan;
  std::vector<StageRecord> stages;  // in order, without their matrices
  int64_t samples = 0, seq_len = 0;
  std::string samples_text;  // "128 windows of 2,048 tokens"
  std::string calibration_source, calibration_sha256, model_fingerprint;
  std::string scaling;  // what the method's transform came to; empty without one
  HeldOutLoss loss;
  int64_t output_bytes = 0;          // weight files
  double seconds = 0;                // of all runs that went on from each other
  double seconds_before = 0;         // of these, before the interruption, or of what was shared
  double seconds_later = 0;          // for SharedWork::later: not among them
  double saving_seconds = 0;         // of the thread that keeps finished stages
  double tables_behind_seconds = 0;  // that tables took beyond all layers, beside a device
  double writing_seconds = 0;        // of the threads that write the weights and compare them
  int64_t peak_memory_bytes = 0;
  bool verified = false;
};

// Throws Error(usage) when OUT is there and is not to be replaced, or must not be.
void check_output(const QuantizeOptions& options, const OpenedModel& model);
// The same of any directory to be made from a model.
void check_place(const std::string& output, const OpenedModel& model, bool force);

// Throws Error. A dry run is dry_run() of apps/estimate.h.
QuantizeOutcome quantize(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                         Profile* profile = nullptr);
// What several quantizations of a model have in common, and is done once. They come to the bytes
// that each comes to by itself.
struct SharedWork {
  const Calibration* calibration = nullptr;  // windows that are not to be read from a text
  // Keeps what the method's transform finds, for all of them; null: the job's own journal.
  Journal* scales = nullptr;
  std::vector<const Plan*> later = {};  // with the same windows; their scales are found, too
};
QuantizeOutcome quantize(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                         const SharedWork& shared, Profile* profile = nullptr);
Json to_json(const QuantizeOutcome& outcome);
// The linears with the largest relative errors that were measured, largest first.
std::vector<const FinishedLinear*> worst_linears(const QuantizeOutcome& outcome, size_t count);

}  // namespace halftone
