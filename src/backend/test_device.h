// A device for tests: the reference loops over memory that is said to be the device's, with an
// allocator of its own for the host's, and copies that insist on where each side lies.
#pragma once

#include <cassert>

#include "backend/ref/ref_operations.h"

namespace halftone {

class TestDevice final : public ref::RefBackend {
 public:
  explicit TestDevice(int64_t batch_tokens = 2048) : info_(RefBackend::info()) {
    info_.batch_tokens = batch_tokens;
  }
  void lack_f64() { info_.f64 = false; }

  const DeviceInfo& info() const override { return info_; }
  Place place() const override { return Place::device; }
  bool runs_beside_host() const override { return true; }
  Allocator& host_allocator() override { return host_; }
  Tensor allocate(int64_t rows, int64_t cols, DType dtype) override {
    return Tensor(allocator(), rows, cols, dtype, Place::device);
  }
  void upload(ConstView host, View device, Queue queue) override {
    assert(host.place == Place::host && device.place == Place::device);
    RefBackend::upload(host, device, queue);
  }
  void download(ConstView device, View host) override {
    assert(host.place == Place::host && device.place == Place::device);
    RefBackend::download(device, host);
  }

 private:
  DeviceInfo info_;
  HostAllocator host_;
};

}  // namespace halftone
