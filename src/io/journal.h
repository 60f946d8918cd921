// Finished work, kept: an append-only file of named, hashed records beside the output, with a
// fingerprint of the job that it belongs to and a lock that a second run meets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"

namespace halftone {

class Journal {
 public:
  using Fingerprint = std::map<std::string, std::string>;

  // Creates `path`, or with resume = true opens it where it exists. Throws Error(usage) when
  // another living process holds it, and when it exists and resume is false (hint: --resume or
  // --force); Error(bad_input) when it is no journal or its fingerprint is damaged. Before anything
  // is appended: identify().
  static Journal open(const std::string& path, bool resume);
  static Journal open(const std::string& path, const Fingerprint& fingerprint, bool resume);
  // Whether there is nothing to go on from.
  bool fresh() const { return order_.size() <= 1 && !damaged_; }
  // Says what job this is. A record that was being written when the process died is cut off; of a
  // file that was damaged otherwise the records before the damage are used, and a copy stays in
  // `path`.damaged. Throws Error(usage) when the journal is another job's (says in what they
  // differ).
  void identify(const Fingerprint& fingerprint);
  // What takes long to be known of the job: `value` becomes record `name` with the first one that
  // is appended when it is there. Such a record counts as part of the fingerprint from then on.
  void append_when_known(std::string name, std::shared_future<std::string> value);
  // What the job was said to be; empty for a fresh journal.
  Fingerprint fingerprint() const;
  // Deletes the journal at `path`, if there is one. Throws as open() does when a living process
  // holds it or it is no journal.
  static void discard(const std::string& path);

  bool has(const std::string& name) const;
  std::vector<std::string> names() const;                      // in the order of writing
  std::vector<std::byte> read(const std::string& name) const;  // checked against its hash
  // Durable when it returns. Throws Error(resources) on a full disk; the journal stays usable.
  void append(const std::string& name, std::span<const std::byte> bytes);
  const std::string& path() const { return file_.path(); }
  int64_t bytes() const { return end_; }
  // Deletes the file: the output is published.
  void remove();

 private:
  struct Record {
    int64_t offset = 0, size = 0;  // of the payload
    std::string sha256;            // of name and payload
  };

  Journal() = default;
  void scan();
  std::optional<std::pair<std::string, Record>> record_at(int64_t at) const;
  std::optional<int64_t> find_record(int64_t begin) const;
  void drop_tail();
  void write_holder();
  void start(const Fingerprint& fingerprint);
  void check_fingerprint(const Fingerprint& fingerprint) const;
  void write_record(const std::string& name, std::span<const std::byte> bytes);

  FileDescriptor file_;  // locked as long as it is open
  int64_t end_ = 0;      // of the last whole record
  std::map<std::string, Record> records_;
  std::vector<std::string> order_;
  bool damaged_ = false;  // whole records lie behind one that is not
  std::string late_name_;
  std::shared_future<std::string> late_;  // not valid: nothing is awaited
};

}  // namespace halftone
