// Silence for a part of a run that says nothing new: errors alone are logged.
#pragma once

#include "base/log.h"

namespace halftone {

class Hush {
 public:
  Hush() : level_(spdlog::get_level()) { spdlog::set_level(spdlog::level::err); }
  ~Hush() { spdlog::set_level(level_); }
  Hush(const Hush&) = delete;
  Hush& operator=(const Hush&) = delete;

 private:
  spdlog::level::level_enum level_;
};

}  // namespace halftone
