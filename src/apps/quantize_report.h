// What a quantization says at its end: the screen, the profile, the HTML report.
#pragma once

#include <string>
#include <vector>

#include "apps/evaluate.h"
#include "apps/quantize.h"
#include "apps/report.h"

namespace halftone {

std::string outcome_text(const QuantizeOutcome& outcome, const QuantizeOptions& options,
                         const OpenedModel& model);

// Seconds, operations and rate by stage, with the product rates that this machine reaches just now.
void write_profile(Backend& backend, const QuantizeOutcome& outcome, const Profile& profile,
                   const std::string& path);

// The parts of a report that a quantization fills: modules, activations, settings, machine, hashes.
ReportInput report_of(const Backend& backend, const OpenedModel& model,
                      const QuantizeOutcome& outcome, const QuantizeOptions& options);
std::string plan_subtitle(const OpenedModel& model);  // "llama, 30 layers, …"
ReportRow report_row(const std::string& label, const Evaluation& evaluation);
void write_quantize_report(const Backend& backend, const OpenedModel& model,
                           const QuantizeOutcome& outcome, const QuantizeOptions& options,
                           const std::string& path);

}  // namespace halftone
