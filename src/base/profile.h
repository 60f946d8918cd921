// Where the time goes: seconds and operations by stage, for --profile and bench.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace halftone {

struct ProfileRow {
  double seconds = 0;     // but those of stages within it
  double operations = 0;  // floating-point operations counted, 0 where that means nothing
  double bytes = 0;       // read and written, the same
  int64_t calls = 0;
};

// For one thread: the one that starts the stages, not those that work within them.
class Profile {
 public:
  // `settle` (may be empty) is called where a stage begins and where it ends. On a device that
  // works behind the program it waits for the device, so that a stage's seconds are its own; the
  // whole then takes longer, as nothing runs beside anything else.
  explicit Profile(std::function<void()> settle = {}) : settle_(std::move(settle)) {}

  void add(std::string_view stage, const ProfileRow& spent);
  const std::map<std::string, ProfileRow, std::less<>>& rows() const { return rows_; }

 private:
  friend class ProfileScope;
  std::map<std::string, ProfileRow, std::less<>> rows_;
  std::function<void()> settle_;
  double within_ = 0;  // seconds of the stages that have ended within the one that runs
};

// Adds the time until it is destroyed, less that of scopes within it. `profile` may be null.
class ProfileScope {
 public:
  ProfileScope(Profile* profile, std::string_view stage, double operations = 0, double bytes = 0)
      : profile_(profile), stage_(stage), operations_(operations), bytes_(bytes) {
    if (!profile_) return;
    if (profile_->settle_) profile_->settle_();
    outer_ = std::exchange(profile_->within_, 0);
    start_ = Clock::now();
  }
  ~ProfileScope() {
    if (profile_) finish();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  void finish();

  Profile* profile_;
  std::string_view stage_;
  double operations_, bytes_;
  double outer_ = 0;  // what the stage around this one had of stages within it
  Clock::time_point start_{};
};

}  // namespace halftone
