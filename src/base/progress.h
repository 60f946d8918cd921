// One line that shows how far a job is: redrawn on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace halftone {

class Progress {
 public:
  // `what` in the present participle ("Evaluating"); `total` units of work, at equal cost.
  Progress(std::string what, double total, bool quiet = false);
  ~Progress();
  // `done` of total, and a few words on where it is.
  void update(double done, const std::string& where);
  void finish();
  double seconds() const;
  double seconds_left() const;  // by the rate so far

 private:
  void draw(bool last);
  std::string what_, where_;
  double total_, done_ = 0;
  bool quiet_, terminal_, finished_ = false;
  std::chrono::steady_clock::time_point start_, drawn_;
};

// "1.24 GB", "312 kB"; "3 min 12 s", "0.63 s"; "298,862".
std::string human_bytes(int64_t bytes);
// The other way: "1.5G", "800 MB", "2GiB", "123456"; nothing when it is not a size above zero.
std::optional<int64_t> parse_bytes(const std::string& text);
std::string human_seconds(double seconds);
std::string human_count(int64_t count);

}  // namespace halftone
