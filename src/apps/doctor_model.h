// halftone doctor MODEL: what is wrong with a model, and which runtimes open it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/doctor_finding.h"
#include "base/json.h"
#include "format/gptq.h"
#include "format/runtimes.h"

namespace halftone {

struct ModelDiagnosis {
  std::string name, path;
  std::vector<Finding> findings;
  std::vector<RuntimeRow> runtimes;    // empty when files or configuration are too broken to tell
  std::optional<GptqVersion> relabel;  // what the label should be, when that alone is wrong
  bool healthy() const;
};

struct DoctorOptions {
  int threads = 0;     // 0: all that this process may use
  bool quiet = false;  // no progress
};

// Goes on as far as what is broken allows. Throws Error(usage) when there is no such model.
ModelDiagnosis diagnose_model(const std::string& model, const DoctorOptions& options);

std::string diagnosis_text(const ModelDiagnosis& diagnosis);
Json diagnosis_json(const ModelDiagnosis& diagnosis);

}  // namespace halftone
