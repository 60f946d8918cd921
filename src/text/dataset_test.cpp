#include "text/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Letters a to z are ids 0 to 25, "\n" is 26, BOS is 27.
Tokenizer letters(bool with_bos) {
  std::string vocabulary;
  for (char c = 'a'; c <= 'z'; ++c) vocabulary += fmt::format("\"{}\": {}, ", c, c - 'a');
  Metadata metadata;
  metadata.tokenizer.tokenizer_json = fmt::format(
      R"({{"version": "1.0", "added_tokens": [{{"id": 27, "content": "<s>", "single_word": false,
      "lstrip": false, "rstrip": false, "normalized": false, "special": true}}],
      "post_processor": {}, "model": {{"vocab": {{{} "\n": 26}}, "merges": []}}}})",
      with_bos ? R"({"type": "TemplateProcessing", "single": [
                    {"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
                    "special_tokens": {"<s>": {"id": "<s>", "ids": [27], "tokens": ["<s>"]}}})"
               : "null",
      vocabulary);
  return Tokenizer::load(metadata);
}

class Dataset : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() /
                 fmt::format("halftone_dataset_{}", static_cast<const void*>(this));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& bytes) {
    const std::string path = directory_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::string error_of(const std::string& name, const std::string& bytes) {
    const std::string path = write(name, bytes);
    try {
      read_text_file(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      EXPECT_THAT(error.what(), HasSubstr(path));
      return error.what();
    }
    return "no error";
  }

  std::filesystem::path directory_;
};

TEST_F(Dataset, WorkedExample) {
  // Ten letters, windows of three: three windows, "j" is dropped; BOS takes each first place.
  const TextFile file = read_text_file(write("text.txt", "abcdefghij"));
  EXPECT_EQ(file.sha256, sha256_of("abcdefghij"));
  const Windows windows = cut_windows(letters(true), {file}, 3);
  EXPECT_EQ(windows.count(), 3);
  EXPECT_EQ(windows.tokens_in_text, 10);
  EXPECT_THAT(windows.ids, ElementsAre(27, 1, 2, 27, 4, 5, 27, 7, 8));
  EXPECT_THAT(cut_windows(letters(false), {file}, 3).ids, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(Dataset, JoinsDocumentsByAnEmptyLineAndFilesByNothing) {
  const TextFile lines =
      read_text_file(write("a.jsonl", "{\"text\": \"ab\"}\n\n{\"id\": 1, \"text\": \"c\"}\r\n"));
  EXPECT_THAT(lines.documents, ElementsAre("ab", "c"));
  const TextFile list = read_text_file(write("b.json", "[{\"text\": \"d\"}, {\"text\": \"e\"}]"));
  EXPECT_THAT(list.documents, ElementsAre("d", "e"));
  const TextFile json_lines =
      read_text_file(write("c.json", "{\"text\": \"f\"}\n{\"text\": \"g\"}"));
  EXPECT_THAT(json_lines.documents, ElementsAre("f", "g"));
  EXPECT_THAT(cut_windows(letters(false), {lines, list}, 1).ids,
              ElementsAre(0, 1, 26, 26, 2, 3, 26, 26, 4));
}

TEST_F(Dataset, NamesWhatIsWrong) {
  EXPECT_THROW(read_text_file(directory_ / "missing.txt"), Error);
  EXPECT_THAT(error_of("empty.txt", ""), HasSubstr("empty"));
  EXPECT_THAT(error_of("binary.txt", std::string("ab\0c", 4)), HasSubstr("offset 2"));
  EXPECT_THAT(error_of("latin.txt", "caf\xe9 "), HasSubstr("not UTF-8 (offset 3)"));
  EXPECT_THAT(error_of("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": \n"), HasSubstr("line 2"));
  EXPECT_THAT(error_of("number.jsonl", "{\"text\": \"a\"}\n\n{\"text\": 3}\n"),
              HasSubstr("line 3"));
  EXPECT_THAT(error_of("list.json", "[{\"text\": \"a\"}, 7]"), HasSubstr("item 2"));
  EXPECT_THAT(
      error_of("chat.json", "[{\"instruction\": \"a\", \"input\": \"\", \"output\": \"b\"}]"),
      HasSubstr("instruction record"));
  EXPECT_THAT(error_of("none.jsonl", "\n\n"), HasSubstr("no text"));
  EXPECT_THAT(error_of("blank.jsonl", "{\"text\": \"\"}\n"), HasSubstr("no text"));
}

TEST_F(Dataset, PicksDisjointWindowsBySeed) {
  Windows all;
  all.length = 2;
  for (int32_t i = 0; i < 40; ++i) all.ids.push_back(i);
  const Windows whole = pick_windows(all, 0, 20, 7);
  const Windows head = pick_windows(all, 0, 15, 7), tail = pick_windows(all, 15, 5, 7);
  std::vector<int32_t> joined = head.ids;
  joined.insert(joined.end(), tail.ids.begin(), tail.ids.end());
  EXPECT_EQ(joined, whole.ids);
  EXPECT_NE(whole.ids, all.ids);
  EXPECT_NE(pick_windows(all, 0, 20, 8).ids, whole.ids);
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(whole.window(i)[0] + 1, whole.window(i)[1]);
  std::sort(joined.begin(), joined.end());
  EXPECT_EQ(joined, all.ids);
  EXPECT_THROW(pick_windows(all, 15, 6, 7), Error);
}

TEST_F(Dataset, SeesOverlap) {
  std::string text, other;
  for (int i = 0; i < 2000; ++i) {
    text += fmt::format("sentence {} of the first; ", i * 7919);
    other += fmt::format("line {} of another text. ", i * 104729);
  }
  std::string spaced = text;
  std::replace(spaced.begin(), spaced.end(), ' ', '\n');
  const TextFile first{"a", "", {text}}, second{"b", "", {other}}, again{"c", "", {spaced}};
  const TextFile half{"d", "", {text.substr(0, text.size() / 2), other.substr(0, text.size() / 2)}};
  EXPECT_EQ(overlap({first}, {first}), 1.0);
  EXPECT_EQ(overlap({first}, {again}), 1.0);
  EXPECT_EQ(overlap({first}, {second}), 0.0);
  EXPECT_NEAR(overlap({first}, {half}), 0.5, 0.05);
  EXPECT_EQ(overlap({first}, {{"e", "", {"short"}}}), 0.0);
}

}  // namespace
}  // namespace halftone
