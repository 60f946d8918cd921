#include "base/profile.h"

namespace halftone {

void Profile::add(std::string_view stage, const ProfileRow& spent) {
  auto row = rows_.find(stage);
  if (row == rows_.end()) row = rows_.emplace(stage, ProfileRow()).first;
  row->second.seconds += spent.seconds;
  row->second.operations += spent.operations;
  row->second.bytes += spent.bytes;
  row->second.calls += spent.calls;
}

void ProfileScope::finish() {
  try {
    if (profile_->settle_) profile_->settle_();
  } catch (...) {  // within a destructor: a device that has failed says so again
  }
  const std::chrono::duration<double> spent = Clock::now() - start_;
  profile_->add(stage_, {.seconds = spent.count() - profile_->within_,
                         .operations = operations_,
                         .bytes = bytes_,
                         .calls = 1});
  profile_->within_ = outer_ + spent.count();
}

}  // namespace halftone
