#include "io/safetensors.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

std::vector<std::byte> filled(size_t count, int value) {
  return std::vector<std::byte>(count, static_cast<std::byte>(value));
}

TensorPlan planned(std::string name, std::string type, std::vector<int64_t> shape, int64_t bytes) {
  TensorPlan plan;
  plan.name = std::move(name);
  plan.type = std::move(type);
  plan.shape = std::move(shape);
  plan.bytes = bytes;
  return plan;
}

// The file of the format's own description: one tensor, written byte by byte.
TEST(Safetensors, WorkedExample) {
  const TemporaryDirectory place;
  std::string header = R"({"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})";
  header.resize(64, ' ');
  std::string file = std::string("\x40\0\0\0\0\0\0\0", 8) + header;
  const float values[] = {1.5f, -2};
  file.append(reinterpret_cast<const char*>(values), sizeof values);
  write_file_atomically(place.file("a.safetensors"), file);

  const SafetensorsFile read(place.file("a.safetensors"));
  ASSERT_EQ(read.entries().size(), 1u);
  const ContainerEntry& entry = read.entries()[0];
  EXPECT_EQ(entry.name, "w");
  EXPECT_EQ(entry.type, "F32");
  EXPECT_EQ(entry.shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(std::memcmp(entry.bytes.data(), values, sizeof values), 0);
  EXPECT_TRUE(read.metadata().empty());
}

TEST(Safetensors, WritesWhatItReads) {
  const TemporaryDirectory place;
  SafetensorsWriter writer(
      place.path(), {planned("z", "F16", {3}, 6), planned("b.q", "I32", {2, 2}, 16),
                     planned("a\"\n\xc3\xa9", "U8", {1, 3}, 3), planned("scalar", "F64", {}, 8),
                     planned("none", "BF16", {0, 4}, 0)});
  writer.write("b.q", filled(16, 2));
  writer.write("none", {});
  writer.write("z", filled(6, 1));
  writer.write("scalar", filled(8, 4));
  writer.write("a\"\n\xc3\xa9", filled(3, 3));
  EXPECT_EQ(writer.finish(), std::vector<std::string>{place.file("model.safetensors")});

  const SafetensorsFile read(place.file("model.safetensors"));
  EXPECT_EQ(read.metadata().at("format"), "pt");
  ASSERT_EQ(read.entries().size(), 5u);
  EXPECT_EQ(read.entries()[0].name, "a\"\n\xc3\xa9");
  EXPECT_EQ(read.entries()[1].name, "b.q");
  EXPECT_EQ(read.entries()[4].name, "z");
  EXPECT_EQ(read.entries()[1].bytes[15], std::byte{2});
  EXPECT_EQ(read.entries()[4].bytes[0], std::byte{1});
  EXPECT_TRUE(read.entries()[3].shape.empty());
  for (const ContainerEntry& entry : read.entries())
    if (const auto dtype = dtype_of_safetensors(entry.type); dtype && !entry.bytes.empty()) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.bytes.data()) % size_of(*dtype), 0u)
          << entry.name << " is aligned";
    }
}

TEST(Safetensors, ShardsWithAnIndex) {
  const TemporaryDirectory place;
  SafetensorsWriter writer(place.path(),
                           {planned("c", "U8", {6}, 6), planned("a", "U8", {5}, 5),
                            planned("b", "U8", {5}, 5), planned("d", "U8", {40}, 40)},
                           10);
  int value = 0;
  for (const char* name : {"d", "b", "a", "c"})
    writer.write(name, filled(*name == 'd' ? 40 : *name == 'c' ? 6 : 5, ++value));
  const auto paths = writer.finish();
  ASSERT_EQ(paths.size(), 4u);
  EXPECT_EQ(paths[0], place.file("model-00001-of-00003.safetensors"));
  EXPECT_EQ(paths[3], place.file("model.safetensors.index.json"));
  const Json index = read_json_file(paths[3]);
  EXPECT_EQ(index["metadata"]["total_size"], 56);
  EXPECT_EQ(index["weight_map"]["a"], "model-00001-of-00003.safetensors");
  EXPECT_EQ(index["weight_map"]["b"], "model-00001-of-00003.safetensors");
  EXPECT_EQ(index["weight_map"]["c"], "model-00002-of-00003.safetensors");
  EXPECT_EQ(index["weight_map"]["d"], "model-00003-of-00003.safetensors");
  EXPECT_EQ(SafetensorsFile(paths[2]).entries()[0].bytes[39], std::byte{1});
}

TEST(Safetensors, SameBytesInAnyOrderOfWriting) {
  const TemporaryDirectory first, second;
  for (const bool forwards : {true, false}) {
    SafetensorsWriter writer((forwards ? first : second).path(),
                             {planned("a", "U8", {5}, 5), planned("b", "F32", {1}, 4)});
    if (forwards) writer.write("a", filled(5, 1));
    writer.write("b", filled(4, 2));
    if (!forwards) writer.write("a", filled(5, 1));
    writer.finish();
  }
  EXPECT_EQ(read_file(first.file("model.safetensors")),
            read_file(second.file("model.safetensors")));
}

TEST(Safetensors, WriterHoldsCallersToThePlan) {
  const TemporaryDirectory place;
  const std::vector<TensorPlan> plan = {planned("a", "U8", {2}, 2)};
  SafetensorsWriter writer(place.path(), plan);
  EXPECT_THROW(writer.write("b", filled(2, 0)), Error);
  EXPECT_THROW(writer.write("a", filled(3, 0)), Error);
  EXPECT_THROW(writer.finish(), Error);
  writer.write("a", filled(2, 0));
  EXPECT_THROW(writer.write("a", filled(2, 0)), Error);
  EXPECT_THROW(SafetensorsWriter(place.path(), {plan[0], plan[0]}), Error);
  EXPECT_THROW(SafetensorsWriter(place.path(), {planned("a", "U8", {2}, 3)}), Error);
}

TEST(Safetensors, FullDiskShowsBeforeTheWork) {
  const TemporaryDirectory place;
  if (::mount("tmpfs", place.path().c_str(), "tmpfs", 0, "size=256k") != 0)
    GTEST_SKIP() << "a small file system cannot be mounted here: " << std::strerror(errno);
  try {
    SafetensorsWriter(place.path(), {planned("a", "U8", {1 << 20}, 1 << 20)});
    ADD_FAILURE() << "a megabyte in 256 kB";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::resources);
    EXPECT_EQ(error.what(),
              place.file("model.safetensors") + ": cannot be written: No space left on device");
  }
  ::umount(place.path().c_str());
}

TEST(Safetensors, NamesOfTypes) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i64, DType::i32,
                            DType::i16, DType::i8, DType::u8, DType::boolean})
    EXPECT_EQ(dtype_of_safetensors(safetensors_name(dtype)), dtype);
  EXPECT_EQ(dtype_of_safetensors("F8_E4M3"), std::nullopt);
}

}  // namespace
}  // namespace halftone
