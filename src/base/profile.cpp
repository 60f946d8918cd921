#include "base/profile.h"

namespace halftone {

void Profile::add(std::string_view stage, double seconds, double operations) {
  auto row = rows_.find(stage);
  if (row == rows_.end()) row = rows_.emplace(stage, ProfileRow()).first;
  row->second.seconds += seconds;
  row->second.operations += operations;
  ++row->second.calls;
}

}  // namespace halftone
