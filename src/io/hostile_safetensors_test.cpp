// safetensors files that lie: each is refused with one line, and none crashes.
#include <gtest/gtest.h>

#include "base/temporary_directory.h"
#include "io/hostile_file.h"
#include "io/safetensors.h"

namespace halftone {
namespace {

// A header of one tensor "w" with the given fields, and 8 bytes of data.
std::string one_tensor(const std::string& fields) {
  return with_length("{\"w\":{" + fields + "}}") + "12345678";
}

struct Lie {
  const char* what;
  std::string bytes;
  const char* expected;
};

const std::string kGood = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";

std::vector<Lie> lies_about_lengths() {
  const std::string good = one_tensor(kGood);
  std::string huge = good, overflowing = good, longer = good;
  huge.replace(0, 8, std::string("\0\0\0\0\0\x01\0\0", 8));
  overflowing.replace(0, 8, std::string(8, '\xff'));
  longer[0] = static_cast<char>(longer[0] + 9);
  return {
      {"empty", "", "is empty"},
      {"seven bytes", std::string(7, '\0'), "too short"},
      {"length alone", good.substr(0, 8), "truncated"},
      {"header cut", good.substr(0, 30), "truncated"},
      {"data cut", good.substr(0, good.size() - 1), "the file has 7 bytes of data"},
      {"bytes at the end", good + "x", "the last 1 bytes belong to no tensor"},
      {"header of a terabyte", huge, "expected at most 100000000"},
      {"header length overflows", overflowing, "expected at most 100000000"},
      {"header beyond the file", longer, "truncated"},
      {"header of nothing", with_length(""), "header"},
      {"zero length", std::string(8, '\0') + "rest", "header"},
      {"a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
       "Git LFS pointer"},
      {"a GGUF file", "GGUF\3\0\0\0\0\0\0\0" + std::string(40, '\0'), "header length"},
  };
}

std::vector<Lie> lies_about_json() {
  const auto header = [](const std::string& text) { return with_length(text) + "12345678"; };
  return {
      {"not JSON", header("hello"), "header"},
      {"unfinished", header("{\"w\":{"), "header"},
      {"two values", header("{} {}"), "header"},
      {"a list", header("[]"), "expected a JSON object"},
      {"not UTF-8", header("{\"\xff\":{}}"), "UTF-8"},
      {"a number", header("{\"w\":3}"), "w: expected an object"},
      {"deep", header(std::string(5000, '[') + std::string(5000, ']')), "header"},
      {"line break in a name", header("{\"a\\nb\":3}"), "a?b: expected an object"},
      {"long name", header("{\"" + std::string(5000, 'n') + "\":3}"), "nnn..."},
      {"metadata a list", header(R"({"__metadata__":[]})"), "__metadata__"},
      {"metadata of numbers", header(R"({"__metadata__":{"a":1}})"), "expected a string"},
      {"metadata twice", header(R"({"__metadata__":{},"__metadata__":{}})"), "appears twice"},
      {"metadata key twice", header(R"({"__metadata__":{"a":"1","a":"2"}})"), "appears twice"},
      {"no tensors but data", header("{}"), "the last 8 bytes belong to no tensor"},
      {"a tensor twice",
       with_length("{\"w\":{" + kGood +
                   R"(},"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})") +
           std::string(16, 'x'),
       "w: appears twice"},
  };
}

std::vector<Lie> lies_about_tensors() {
  const auto shape = [](const std::string& sizes) {
    return one_tensor("\"dtype\":\"F32\",\"shape\":" + sizes + ",\"data_offsets\":[0,8]");
  };
  const auto offsets = [](const std::string& ends) {
    return one_tensor("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" + ends);
  };
  return {
      {"no dtype", one_tensor(R"("shape":[2],"data_offsets":[0,8])"), "dtype: missing"},
      {"no shape", one_tensor(R"("dtype":"F32","data_offsets":[0,8])"), "shape: missing"},
      {"no offsets", one_tensor(R"("dtype":"F32","shape":[2])"), "data_offsets: missing"},
      {"dtype twice", one_tensor(R"("dtype":"F32","dtype":"F16")"), "dtype appears twice"},
      {"unknown dtype", one_tensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"),
       "unknown dtype F31"},
      {"dtype a number", one_tensor(R"("dtype":3,"shape":[2],"data_offsets":[0,8])"),
       "dtype: expected a string"},
      {"shape a number", shape("2"), "shape: expected a list"},
      {"negative size", shape("[-2]"), "shape: expected integers"},
      {"fraction", shape("[2.5]"), "shape: expected integers"},
      {"size beyond 63 bits", shape("[9223372036854775808]"), "shape: expected integers"},
      {"size beyond 64 bits", shape("[99999999999999999999]"), "header"},
      {"product overflows", shape("[4294967296,4294967296]"), "has no size in bytes"},
      {"product wraps to 2", shape("[9223372036854775807,2,2]"), "has no size in bytes"},
      {"bytes overflow", shape("[4611686018427387904]"), "has no size in bytes"},
      {"too few bytes", shape("[3]"), "8 bytes of data, expected 12 for shape [3] of F32"},
      {"too many bytes", shape("[1]"), "8 bytes of data, expected 4"},
      {"half a byte", one_tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,8])"),
       "has no size in bytes"},
      {"offsets beyond the file", offsets("[8,16]"), "the file has 8 bytes of data"},
      {"offsets reversed", offsets("[8,0]"), "data_offsets [8, 0]"},
      {"one offset", offsets("[0]"), "1 numbers, expected 2"},
      {"three offsets", offsets("[0,8,8]"), "3 numbers, expected 2"},
      {"negative offset", offsets("[-8,0]"), "data_offsets: expected integers"},
      {"offset overflows", offsets("[18446744073709551608,18446744073709551615]"),
       "data_offsets: expected integers"},
      {"hole before", one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"),
       "w: 4 bytes before its data belong to no tensor"},
      {"overlap",
       with_length(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
                   R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})") +
           "12345678",
       "b: its data overlap those of a at byte 4"},
      {"the same bytes twice",
       with_length(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                   R"("b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})") +
           "12345678",
       "overlap those of a"},
      {"hole between",
       with_length(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                   R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})") +
           "12345678",
       "b: 1 bytes before its data belong to no tensor"},
  };
}

TEST(HostileSafetensors, EveryLieIsNamed) {
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  const std::string path = place.file("model.safetensors");
  write_bytes(path, one_tensor(kGood));
  EXPECT_EQ(SafetensorsFile(path).entries().size(), 1u) << "the honest one is accepted";
  for (const auto& lies : {lies_about_lengths(), lies_about_json(), lies_about_tensors()})
    for (const Lie& lie : lies) {
      SCOPED_TRACE(lie.what);
      write_bytes(path, lie.bytes);
      expect_refused([&] { SafetensorsFile file(path); }, path, lie.expected);
    }
}

TEST(HostileSafetensors, TruncatedAnywhere) {
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  const std::string path = place.file("model.safetensors"), good = one_tensor(kGood);
  for (size_t size = 0; size < good.size(); ++size) {
    write_bytes(path, good.substr(0, size));
    expect_refused([&] { SafetensorsFile file(path); }, path, "");
  }
}

TEST(HostileSafetensors, RandomDamageParsesOrIsRefused) {
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  const std::string path = place.file("model.safetensors");
  const std::string good =
      with_length(R"({"__metadata__":{"format":"pt"},)"
                  R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                  R"("b.w":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]}}  )") +
      "0123456789abcd";
  Rng rng(20240607);
  int accepted = 0;
  unsigned sum = 0;
  for (int i = 0; i < 20000; ++i) {
    write_bytes(path, damaged(good, rng));
    try {
      const SafetensorsFile file(path);
      for (const ContainerEntry& entry : file.entries())
        for (const std::byte byte : entry.bytes) sum += static_cast<unsigned>(byte);
      ++accepted;
    } catch (const Error& error) {
      ASSERT_EQ(error.exit(), Exit::bad_input) << error.what();
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
  EXPECT_GT(accepted, 100) << "damage to data alone is not the parser's business";
  EXPECT_LT(accepted, 15000);
  EXPECT_GT(sum, 0u);
}

}  // namespace
}  // namespace halftone
