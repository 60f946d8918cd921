#include "backend/cuda/cuda_check.h"

#include <string>

#include "base/error.h"

namespace halftone::cuda {
namespace {

std::string text_of(const Operation& operation) {
  std::string text = operation.name;
  for (int i = 0; i < 4 && operation.sizes[i] >= 0; ++i)
    text += fmt::format("{}{}", i == 0 ? " (" : ", ", operation.sizes[i]);
  if (operation.sizes[0] >= 0) text += ')';
  return text;
}

// What happens to a card or to a machine, not because of our code.
bool is_trouble_of_the_card(cudaError_t status) {
  return status == cudaErrorDevicesUnavailable || status == cudaErrorECCUncorrectable ||
         status == cudaErrorNoDevice || status == cudaErrorSystemNotReady ||
         status == cudaErrorLaunchTimeout || status == cudaErrorHardwareStackError ||
         status == cudaErrorNvlinkUncorrectable || status == cudaErrorContained;
}

}  // namespace

void check(cudaError_t status, const Operation& operation) {
  if (status == cudaSuccess) return;
  const std::string what = text_of(operation);
  if (status == cudaErrorMemoryAllocation)
    throw out_of_resources("cuda: {}: the card's memory is full", what)
        .hint("Other programs may use the same card; --max-memory lowers what this one takes.");
  if (is_trouble_of_the_card(status))
    throw out_of_resources("cuda: {}: {}", what, cudaGetErrorString(status))
        .hint("The card is lost or in another's hands. Finished work is kept: run it again.");
  throw internal_error("cuda: {}: {}", what, cudaGetErrorString(status));
}

void check_library(bool success, const char* library, int code, const Operation& operation) {
  if (success) return;
  throw internal_error("cuda: {}: {} says {}", text_of(operation), library, code);
}

}  // namespace halftone::cuda
