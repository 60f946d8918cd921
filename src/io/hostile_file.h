// For tests of parsers: files that lie, what must be said of them, and random damage.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/rng.h"

namespace halftone {

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
}

// A header as it stands in a file: its length, its text.
inline std::string with_length(const std::string& header) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header;
}

// `call` must throw one clear line that names `file` and contains `part`, with exit code 3.
inline void expect_refused(const std::function<void()>& call, const std::string& file,
                           const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.exit(), Exit::bad_input) << message;
    EXPECT_NE(message.find(file), std::string::npos) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nexpected: " << part;
    EXPECT_LT(message.size(), 600u) << message;
    for (const char c : message) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << message;
  }
}

// One to four changes: a bit flipped, a byte set to a telling value, a piece cut, doubled or moved.
inline std::string damaged(std::string bytes, Rng& rng) {
  static constexpr char kTelling[] = {'\0', '\xff', '\x7f', '\x80', '9', '"',
                                      '{',  '}',    '[',    ',',    '-'};
  for (uint64_t change = 0, changes = 1 + rng.below(4); change < changes; ++change) {
    if (bytes.empty()) return bytes;
    const size_t at = rng.below(bytes.size());
    const size_t length = std::min<size_t>(bytes.size() - at, 1 + rng.below(16));
    switch (rng.below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      case 1:
        bytes[at] = kTelling[rng.below(sizeof kTelling)];
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 4:
        bytes.insert(rng.below(bytes.size()), bytes.substr(at, length));
        break;
      default:
        if (rng.below(8) == 0) bytes.resize(at);
    }
  }
  return bytes;
}

}  // namespace halftone
