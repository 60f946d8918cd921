// The whole story on a small real model: original, round-to-nearest and GPTQ side by side.
#pragma once

#include <string>

#include "backend/backend.h"

namespace halftone {

struct DemoOptions {
  std::string model, calibration, text;  // empty: what the fetch script got
  std::string output = "demo-4bit", report = "demo-report.html";
  int64_t samples = 16, windows = 8, seq_len = 2048;
  bool force = false;  // replace directories that no demo made
  bool quiet = false;
  std::string program = "halftone";  // as it was called, for the commands to try next
  std::string program_version;
};

// Prints each step as it goes, the table and the samples to stdout. Makes OUT, OUT-rtn
// and perhaps OUT-bf16 (less a final "-4bit"), replaces those of an earlier demo, and goes on with
// a quantization that one left unfinished. A model that is rounded already is regridded first
// (apps/regrid.h): that copy plays the original. Throws Error(usage) when there is no model or text
// (says how to get them) and when a directory is another's.
void run_demo(Backend& backend, const DemoOptions& options);

}  // namespace halftone
