// Bytes that a quantization holds, stage by stage: what lies where, counted from shapes alone.
#pragma once

#include <cstdint>

#include "apps/calibration.h"
#include "apps/plan.h"
#include "backend/backend.h"

namespace halftone {

// What a job is counted from.
struct EstimateInput {
  Backend& backend;
  const OpenedModel& model;
  const Plan& plan;
  const Calibration& calibration;
  DType compute = DType::f32;
  const QuantizeOptions& options;
};

// Peaks in the memory of the device (the host's where it computes there), beside activations.
struct MemoryNeed {
  int64_t residuals = 0, held_out_residuals = 0;  // of all windows: activations
  int64_t inputs = 0;                             // of all windows, of the widest stored stage
  int64_t inputs_on_disk = 0;                     // the same in a file
  // Buffers on the device for activations that lie elsewhere: for inputs, and for residuals.
  int64_t input_copies = 0, residual_copies = 0;
  // At the peak of the blocks, activations aside: with none elsewhere, with inputs elsewhere, with
  // residuals elsewhere as well and nothing loaded ahead. When factors are made there are no
  // copies.
  int64_t blocks = 0, spilled_blocks = 0, least_blocks = 0;
  int64_t head = 0;         // at the end, when the calibration's activations are gone
  int64_t outside = 0;      // of the host's memory, beside the allocators: the program itself
  int64_t host_copies = 0;  // of a device: the host's side of uploads, one batch included
  int64_t activations() const { return residuals + held_out_residuals + inputs; }
};
MemoryNeed count_memory(const EstimateInput& input);

}  // namespace halftone
