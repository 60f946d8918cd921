#include "text/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_usage.h"
#include "base/sha256.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

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

std::vector<std::string> documents_of(const TextFile& file) {
  std::vector<std::string> documents;
  visit_documents(file, [&](std::string_view part, bool first) {
    if (first) documents.emplace_back();
    documents.back() += part;
    return true;
  });
  return documents;
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
  EXPECT_THAT(documents_of(lines), ElementsAre("ab", "c"));
  EXPECT_EQ(lines.documents, 2);
  const TextFile list = read_text_file(write("b.json", "[{\"text\": \"d\"}, {\"text\": \"e\"}]"));
  EXPECT_THAT(documents_of(list), ElementsAre("d", "e"));
  const TextFile json_lines =
      read_text_file(write("c.json", "{\"text\": \"f\"}\n{\"text\": \"g\"}"));
  EXPECT_THAT(documents_of(json_lines), ElementsAre("f", "g"));
  EXPECT_THAT(cut_windows(letters(false), {lines, list}, 1).ids,
              ElementsAre(0, 1, 26, 26, 2, 3, 26, 26, 4));
}

// JSON lines are known by their first one, whatever the file is called.
TEST_F(Dataset, JsonLinesByAnotherName) {
  const std::string lines = "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n";
  EXPECT_THAT(documents_of(read_text_file(write("a.txt", lines))), ElementsAre("ab", "c"));
  EXPECT_THAT(documents_of(read_text_file(write("b", "\xef\xbb\xbf\n " + lines))),
              ElementsAre("ab", "c"));
  EXPECT_THAT(documents_of(read_text_file(write("c.txt", R"({"text": "one, no line's end"})"))),
              ElementsAre("one, no line's end"));
  const std::string chat = R"({"messages": [{"role": "user", "content": "Hi"}]})";
  const auto chat_text = [](const Json&, const std::string&) { return std::string("<Hi>"); };
  EXPECT_THAT(documents_of(read_text_file(write("d.txt", chat + "\n" + chat), chat_text)),
              ElementsAre("<Hi>", "<Hi>"));
  EXPECT_THAT(error_of("e.txt", lines + "no record\n"), HasSubstr("line 3"));
  // What only begins like one is text as it stands.
  for (const std::string& text :
       {std::string("{\"id\": 1}\n" + lines), "{" + lines, std::string("{ int a; }\n"),
        std::string("\xef\xbb\xbf \n{"), "Text\n" + lines, std::string(" \n"),
        "{" + std::string(700000, 'x')})
    EXPECT_THAT(documents_of(read_text_file(write("f.txt", text))), ElementsAre(text));
}

TEST_F(Dataset, JsonThatIsReadAsTextIsSaid) {
  const auto said = [&](const std::string& text) {
    const std::string path = write("g.txt", text);
    testing::internal::CaptureStdout();
    read_text_file(path);
    return testing::internal::GetCapturedStdout();
  };
  for (const char* json :
       {"{\"text\": \"cut off\n{\"text\": \"b\"}\n", "[\n  {\"text\": \"a\"}]", "[\"a\"]"})
    EXPECT_THAT(said(json), HasSubstr("g.txt begins as JSON does")) << json;
  for (const char* prose : {"{ int a; }\n", "[[Category:Text]]", "[1] A footnote.", "Text"})
    EXPECT_THAT(said(prose), Not(HasSubstr("JSON"))) << prose;
}

// A block ends within a line, an item, a string, an escape, a character.
TEST_F(Dataset, DocumentsLargerThanABlockStayWhole) {
  std::vector<std::string> texts;
  Json list = Json::array();
  std::string lines = "\xef\xbb\xbf", plain;
  for (int i = 0; i < 40; ++i) {
    std::string text;
    for (int j = 0; j < 700 * (i % 7); ++j)
      text += fmt::format("{} ]}},[{{ \\\"\n h\u00e9 \u6f22\u5b57 \U0001f600 ", i * j);
    lines += Json{{"text", text}}.dump() + "\n";
    list.push_back({{"text", text}});
    plain += text;
    texts.push_back(std::move(text));
  }
  EXPECT_EQ(documents_of(read_text_file(write("a.jsonl", lines))), texts);
  EXPECT_EQ(documents_of(read_text_file(write("a.json", " " + list.dump(1) + "\n"))), texts);
  EXPECT_THAT(documents_of(read_text_file(write("a.txt", plain))), ElementsAre(plain));
}

TEST_F(Dataset, APipeIsReadOnce) {
  const std::string path = directory_ / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(path) << "abcdefghij"; });
  const TextFile file = read_text_file(path);
  writer.join();
  EXPECT_THAT(cut_windows(letters(false), {file}, 3).ids, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(documents_of(file), ElementsAre("abcdefghij"));
}

// What is held is the ids, not the text: neither a file nor a document, nor their sum.
TEST_F(Dataset, HoldsIdsAlone) {
  const std::string path = directory_ / "long.jsonl";
  {
    std::ofstream out(path);
    const std::string document(100000, ' ');  // of which this tokenizer makes nothing
    for (int i = 0; i < 300; ++i) out << "{\"text\": \"" << document << "a b\"}\n";
  }
  const Tokenizer tokenizer = letters(false);
  const int64_t before = anonymous_memory();
  const MemoryWatch watch;
  const TextFile file = read_text_file(path);
  const Windows windows = cut_windows(tokenizer, {file}, 4);
  EXPECT_EQ(windows.tokens_in_text, 300 * 2 + 299 * 2);
  EXPECT_LT(watch.peak() - before, int64_t{16} << 20);
}

TEST_F(Dataset, TheFirstWindowsAreThoseOfTheWholeText) {
  std::string text;
  for (int i = 0; i < 600000; ++i) text += fmt::format("{}\n", static_cast<char>('a' + i % 23));
  const TextFile file = read_text_file(write("text", text));
  const Windows all = cut_windows(letters(true), {file, file}, 7);
  for (const int64_t most : {int64_t{1}, int64_t{9000}, all.count(), all.count() + 1}) {
    const Windows first = cut_windows(letters(true), {file, file}, 7, most);
    EXPECT_EQ(first.count(), std::min(most, all.count()));
    EXPECT_TRUE(std::equal(first.ids.begin(), first.ids.end(), all.ids.begin()));
    if (most == 1) {
      EXPECT_LT(first.tokens_in_text, all.tokens_in_text / 2);
    }
  }
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
      HasSubstr("item 1: a chat"));
  EXPECT_THAT(error_of("open.json", "[{\"text\": \"a\"}"), HasSubstr("expected ]"));
  EXPECT_THAT(error_of("comma.json", "[{\"text\": \"a\"},]"), HasSubstr("item 2"));
  EXPECT_THAT(error_of("first.json", "[,{\"text\": \"a\"}]"), HasSubstr("item 1"));
  EXPECT_THAT(error_of("behind.json", "[{\"text\": \"a\"}] 1"), HasSubstr("behind the list"));
  EXPECT_THAT(error_of("bare.json", " []\n"), HasSubstr("no text"));
  const std::string long_text(300000, 'a');
  EXPECT_THAT(error_of("late.txt", long_text + "\xe9"), HasSubstr("not UTF-8 (offset 300000)"));
  EXPECT_THAT(error_of("both.txt", "\xe9 " + long_text + std::string(1, '\0')),
              HasSubstr("offset 300002"));
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

TEST_F(Dataset, DocumentsStayWhole) {
  const std::string sixteen = "abcdefghijklmnop";
  const TextFile lines = read_text_file(
      write("a.jsonl", Json{{"text", sixteen + "q"}}.dump() + "\n" + Json{{"text", "abc"}}.dump() +
                           "\n" + Json{{"text", "<s>" + sixteen + sixteen}}.dump() + "\n"));
  const TextFile plain = read_text_file(write("b.txt", sixteen));
  const WholeDocuments taken = take_documents(letters(true), {lines, plain}, 20);
  const Windows& sequences = taken.sequences;
  EXPECT_THAT(sequences.starts, ElementsAre(0, 18, 38, 55));
  EXPECT_EQ(taken.cut, 1);       // 33 ids, of which BOS, in the text already, is one
  EXPECT_EQ(taken.left_out, 1);  // "abc"
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(sequences.sequence(i)[0], 27) << "BOS";
    EXPECT_EQ(sequences.sequence(i)[1], 0) << "once";
  }
  const Windows without = take_documents(letters(false), {lines, plain}, 20).sequences;
  EXPECT_THAT(without.starts, ElementsAre(0, 17, 37, 53));
  EXPECT_EQ(without.window(0)[0], 0);
}

// Each chat is tokenized by itself, as its template spells it: BOS comes from there or not at all.
TEST_F(Dataset, ChatsAreRendered) {
  const ChatText chat_text = [](const Json& record, const std::string&) {
    std::string text = record["instruction"].get<std::string>() + "\n";
    return text == "abcdefghijklmnop\n" ? text : "<s>" + text;
  };
  const std::string lines = Json{{"instruction", "abcdefghijklmnop"}}.dump() + "\n" +
                            Json{{"instruction", "abcdefghijklmnopq"}}.dump() + "\n";
  const TextFile file = read_text_file(write("a.jsonl", lines), chat_text);
  EXPECT_EQ(file.documents, 2);
  EXPECT_EQ(file.chats, 2);
  const Windows whole = take_documents(letters(true), {file}, 100).sequences;
  EXPECT_THAT(whole.starts, ElementsAre(0, 17, 36));
  EXPECT_EQ(whole.window(0)[0], 0);   // no BOS
  EXPECT_EQ(whole.window(1)[0], 27);  // one
  EXPECT_EQ(whole.window(1)[1], 0);
  const Windows packed = cut_windows(letters(false), {file}, 18);  // nothing between the chats
  EXPECT_THAT(packed.sequence(0),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 26, 27));
  EXPECT_EQ(packed.tokens_in_text, 36);
  try {
    read_text_file(write("mixed.jsonl", lines + Json{{"text", "a"}}.dump()), chat_text);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("line 3: a text, and those before it are chats"));
  }
  // What is rendered already is left as it is.
  const Json both = {{"instruction", "a"}, {"text", "b"}};
  EXPECT_EQ(read_text_file(write("both.jsonl", both.dump()), chat_text).chats, 0);
}

// One of them is no reason to refuse the others.
TEST_F(Dataset, ChatsWithoutTurnsAreLeftOut) {
  const ChatText chat_text = [](const Json& record, const std::string&) {
    const Json& messages = record["messages"];
    return messages.empty() ? std::nullopt : std::optional(messages[0].get<std::string>());
  };
  const std::string silent = R"({"messages": []})", chat = R"({"messages": ["ab"]})";
  testing::internal::CaptureStdout();
  const TextFile file = read_text_file(
      write("a.jsonl", fmt::format("{}\n{}\n{}\n{}\n", chat, silent, chat, silent)), chat_text);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("a.jsonl: 2 of 4 chats have no turns: left out (the first: line 2)"));
  EXPECT_EQ(file.documents, 2);
  EXPECT_EQ(file.chats, 2);
  EXPECT_THAT(documents_of(file), ElementsAre("ab", "ab"));
  try {
    read_text_file(write("none.jsonl", silent + "\n" + silent), chat_text);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("none.jsonl: has no chat with a turn, of 2 chats"));
  }
}

// Of a document that is longer than its sequence no more is tokenized than is taken.
TEST_F(Dataset, ALongDocumentIsCut) {
  const TextFile file = read_text_file(write("long.txt", std::string(3 << 20, 'a')));
  const WholeDocuments taken = take_documents(letters(true), {file}, 100);
  EXPECT_EQ(taken.sequences.count(), 1);
  EXPECT_EQ(taken.sequences.length_of(0), 100);
  EXPECT_EQ(taken.cut, 1);
}

TEST_F(Dataset, PicksUnevenSequencesWhole) {
  Windows all;
  for (int32_t i = 0; i < 20; ++i) all.append(std::vector<int32_t>(static_cast<size_t>(i + 1), i));
  const Windows head = pick_windows(all, 0, 15, 7), tail = pick_windows(all, 15, 5, 7);
  EXPECT_EQ(head.count(), 15);
  EXPECT_EQ(head.tokens() + tail.tokens(), all.tokens());
  for (const Windows* part : {&head, &tail})
    for (int64_t i = 0; i < part->count(); ++i)
      EXPECT_THAT(part->sequence(i), ::testing::Each(part->length_of(i) - 1));
  EXPECT_EQ(pick_windows(all, 3, 0, 7).count(), 0);
}

TEST_F(Dataset, SeesOverlap) {
  std::string text, other;
  for (int i = 0; i < 2000; ++i) {
    text += fmt::format("sentence {} of the first; ", i * 7919);
    other += fmt::format("line {} of another text. ", i * 104729);
  }
  std::string spaced = text;
  std::replace(spaced.begin(), spaced.end(), ' ', '\n');
  const size_t half_size = text.size() / 2;
  const Json documents = {{{"text", text.substr(0, half_size)}},
                          {{"text", other.substr(0, half_size)}}};
  const TextFile first = read_text_file(write("a", text)),
                 second = read_text_file(write("b", other));
  const TextFile again = read_text_file(write("c", spaced));
  const TextFile half = read_text_file(write("d.json", documents.dump()));
  EXPECT_EQ(overlap({first}, {first}), 1.0);
  EXPECT_EQ(overlap({first}, {again}), 1.0);
  EXPECT_EQ(overlap({first}, {second}), 0.0);
  EXPECT_NEAR(overlap({first}, {half}), 0.5, 0.05);
  EXPECT_EQ(overlap({first}, {read_text_file(write("e", "short"))}), 0.0);
  // What begins every chat is no overlap of the chats.
  const auto chats = [&](const std::string& name, const std::string& words) {
    std::string lines;
    for (size_t at = 0; at + 100 < words.size(); at += 100)
      lines += Json{{"instruction", words.substr(at, 100)}}.dump() + "\n";
    return read_text_file(write(name, lines), [](const Json& record, const std::string&) {
      return "You are a helpful assistant that was made by somebody, somewhere, some time ago: " +
             record["instruction"].get<std::string>();
    });
  };
  EXPECT_LT(overlap({chats("f.jsonl", text)}, {chats("g.jsonl", other)}), 0.02);
}

}  // namespace
}  // namespace halftone
