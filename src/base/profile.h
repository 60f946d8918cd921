// Where the time goes: seconds and operations by stage, for --profile and bench.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace halftone {

struct ProfileRow {
  double seconds = 0;
  double operations = 0;  // floating-point operations counted, 0 where that means nothing
  int64_t calls = 0;
};

// For one thread: the one that starts the stages, not those that work within them.
class Profile {
 public:
  void add(std::string_view stage, double seconds, double operations = 0);
  const std::map<std::string, ProfileRow, std::less<>>& rows() const { return rows_; }

 private:
  std::map<std::string, ProfileRow, std::less<>> rows_;
};

// Adds the time until it is destroyed. `profile` may be null.
class ProfileScope {
 public:
  ProfileScope(Profile* profile, std::string_view stage, double operations = 0)
      : profile_(profile),
        stage_(stage),
        operations_(operations),
        start_(std::chrono::steady_clock::now()) {}
  ~ProfileScope() {
    if (!profile_) return;
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
    profile_->add(stage_, spent.count(), operations_);
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  Profile* profile_;
  std::string_view stage_;
  double operations_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace halftone
