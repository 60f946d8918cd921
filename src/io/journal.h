// Finished work, kept: an append-only file of named, hashed records beside the output, with a
// fingerprint of the job that it belongs to and a lock that a second run meets.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace halftone {

class Journal {
 public:
  // Creates `path`, or with resume = true opens it. A record that was being written when the process
  // died is cut off. Throws Error(usage) when another living process holds it, when it exists and
  // resume is false (hint: --resume or --force), and when the fingerprint differs (says in what).
  static Journal open(const std::string& path, const std::map<std::string, std::string>& fingerprint,
                      bool resume);
  ~Journal();
  Journal(Journal&&) noexcept;

  bool has(const std::string& name) const;
  std::vector<std::string> names() const;                          // in the order of writing
  std::vector<std::byte> read(const std::string& name) const;      // checked against its hash
  // Durable when it returns. Throws Error(resources) on a full disk; the journal stays usable.
  void append(const std::string& name, std::span<const std::byte> bytes);
  const std::string& path() const { return path_; }
  int64_t bytes() const;
  // Deletes the file: the output is published.
  void remove();

 private:
  Journal() = default;
  struct Record { int64_t offset = 0, size = 0; std::string sha256; };
  std::string path_;
  int fd_ = -1;
  std::map<std::string, Record> records_;
  std::vector<std::string> order_;
};

}  // namespace halftone
