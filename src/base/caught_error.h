// For tests: what a call ends with.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace halftone {

// `call` must throw an Error, of one line.
template <class Call>
Error caught(Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error;
  }
  ADD_FAILURE() << "expected an Error";
  return Error(Exit::done, "");
}

}  // namespace halftone
