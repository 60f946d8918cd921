// Leases: the end of one is told to the provider that gave it, once.
#include <utility>

#include "model/weights.h"

namespace halftone {

WeightProvider::Lease::~Lease() {
  if (owner_) owner_->end_lease(key_);
}

WeightProvider::Lease::Lease(Lease&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), key_(other.key_), linear_(other.linear_) {}

WeightProvider::Lease& WeightProvider::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  if (owner_) owner_->end_lease(key_);
  owner_ = std::exchange(other.owner_, nullptr);
  key_ = other.key_;
  linear_ = other.linear_;
  return *this;
}

}  // namespace halftone
