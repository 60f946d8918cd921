// Each rule on a sample that breaks it and on one that does not.
#include "rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "outline.h"

namespace halftone::check {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> messages(const std::string& path, const std::string& text) {
  std::vector<std::string> out;
  for (const Finding& finding : check_source(path, text)) {
    out.push_back(std::to_string(finding.line) + " " + finding.message);
  }
  return out;
}

std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(Layers, IncludeUpwardsOrSidewardsIsFound) {
  EXPECT_THAT(messages("src/quant/gptq.cpp", "// GPTQ.\n#include \"model/config.h\"\n"),
              ElementsAre(HasSubstr("2 layer: quant may not include model/config.h")));
  EXPECT_THAT(messages("src/base/log.cpp", "// Log.\n  #  include \"tensor/tensor.h\"\n"),
              ElementsAre(HasSubstr("base may not include tensor/tensor.h")));
  EXPECT_THAT(messages("src/text/tokenizer.cpp", "// T.\n#include \"backend/backend.h\"\n"),
              ElementsAre(HasSubstr("text may not include")));
  EXPECT_THAT(messages("src/model/forward.cpp", "// F.\n#include \"backend/cpu/pool.h\"\n"),
              ElementsAre(HasSubstr("model may not include backend/cpu/pool.h")));
}

TEST(Layers, IncludeDownwardsIsFine) {
  EXPECT_THAT(messages("src/quant/gptq.cpp",
                       "// GPTQ.\n#include \"quant/grid.h\"\n#include \"backend/backend.h\"\n"
                       "#include \"base/error.h\"\n#include <model/not_ours.h>\n"),
              IsEmpty());
  EXPECT_THAT(messages("src/cli/main.cpp", "// Main.\n#include \"apps/quantize.h\"\n"), IsEmpty());
}

TEST(Layers, AnIncludeInACommentIsNone) {
  EXPECT_THAT(messages("src/base/log.cpp", "// Log.\n// #include \"cli/main.h\"\n"), IsEmpty());
}

TEST(Layers, TheRegistryAndTestsSeeTheBackends) {
  EXPECT_THAT(
      messages("src/backend/registry.cpp",
               "// R.\n#include \"backend/cpu/cpu_backend.h\"\n#ifdef HALFTONE_CUDA\n#endif\n"),
      IsEmpty());
  EXPECT_THAT(
      messages("src/backend/cpu/norm_test.cpp", "// N.\n#include \"backend/ref/ref_backend.h\"\n"),
      IsEmpty());
  EXPECT_THAT(
      messages("src/backend/cpu/norm.cpp", "// N.\n#include \"backend/ref/ref_backend.h\"\n"),
      ElementsAre(HasSubstr("backend/cpu may not include")));
}

TEST(Layers, AFolderWithoutALayerIsFound) {
  EXPECT_THAT(messages("src/stuff/a.cpp", "// A.\n"),
              ElementsAre(HasSubstr("no layer is named so")));
  EXPECT_THAT(messages("src/base/a.cpp", "// A.\n#include \"stuff/b.h\"\n"),
              ElementsAre(HasSubstr("stuff/b.h is in no layer")));
}

TEST(Backends, ConditionsBelongToTheRegistry) {
  EXPECT_THAT(messages("src/apps/quantize.cpp", "// Q.\n#if defined(HALFTONE_CUDA)\n#endif\n"),
              ElementsAre(HasSubstr("2 backend: ")));
  EXPECT_THAT(messages("src/apps/quantize.cpp", "// Q.\n#if defined(__linux__)\n#endif\n"),
              IsEmpty());
}

TEST(Head, CommentAndPragma) {
  EXPECT_THAT(messages("src/base/a.h", "#pragma once\n"),
              ElementsAre(HasSubstr("1 head: the first line")));
  EXPECT_THAT(messages("src/base/a.h", "// A.\nint f();\n"),
              ElementsAre(HasSubstr("#pragma once")));
  EXPECT_THAT(messages("src/base/a.cpp", ""), ElementsAre(HasSubstr("head")));
}

TEST(Head, TheHeaderOrWhatIsTestedIntroducesASource) {
  EXPECT_THAT(messages("src/base/a.cpp", "#include \"base/a.h\"\n"), IsEmpty());
  EXPECT_THAT(messages("src/base/a_test.cpp", "#include \"base/a.h\"\n"), IsEmpty());
  EXPECT_THAT(messages("src/base/a.cpp", "#include \"base/b.h\"\n"),
              ElementsAre(HasSubstr("head")));
}

TEST(Lengths, OfFiles) {
  EXPECT_THAT(messages("src/base/a.cpp", "// A.\n" + repeat("\n", 399)), IsEmpty());
  EXPECT_THAT(messages("src/base/a.cpp", "// A.\n" + repeat("\n", 400)),
              ElementsAre(HasSubstr("401 lines, at most 400")));
  EXPECT_THAT(messages("src/base/a_test.cpp", "// A.\n" + repeat("\n", 700)), IsEmpty());
  EXPECT_THAT(messages("src/model/arch_table.cpp", "// A.\n" + repeat("\n", 700)), IsEmpty());
}

TEST(Lengths, OfFunctions) {
  const std::string sixty =
      "// A.\nint f(int a,\n      int b) {\n" + repeat("  ++a;\n", 57) + "}\n";
  EXPECT_THAT(messages("src/base/a.cpp", sixty), IsEmpty());
  const std::string more = "// A.\nint f(int a,\n      int b) {\n" + repeat("  ++a;\n", 58) + "}\n";
  EXPECT_THAT(messages("src/base/a.cpp", more),
              ElementsAre("2 length: f has 61 lines, at most 60"));
  EXPECT_THAT(messages("src/backend/cpu/simd/a.cpp", more), IsEmpty());
}

TEST(Lengths, OfMethodsInAClassAndNotOfTheClass) {
  const std::string method = "  void f() {\n" + repeat("    g();\n", 40) + "  }\n";
  EXPECT_THAT(
      messages("src/base/a.cpp", "// A.\nclass A : public B {\n" + repeat(method, 3) + "};\n"),
      IsEmpty());
  EXPECT_THAT(messages("src/base/a.cpp",
                       "// A.\nclass A {\n  void f() {\n" + repeat("    g();\n", 70) + "  }\n};\n"),
              ElementsAre("3 length: f has 72 lines, at most 60"));
}

TEST(Lengths, OfTablesDoNotCount) {
  EXPECT_THAT(messages("src/base/a.cpp",
                       "// A.\nconstexpr int kTable[] = {\n" + repeat("  1,\n", 90) + "};\n"),
              IsEmpty());
}

TEST(Outline, FunctionsThroughBracesInLiteralsAndInitializers) {
  const Outline a = outline(
      "template <class T>\n"
      "struct A {\n"
      "  A() : x_{1}, y_(2) {\n"
      "    s = \"}}}\";  // }\n"
      "    c = '}';\n"
      "    r = R\"x(})\" }})x\";\n"
      "    n = 1'000'000;\n"
      "  }\n"
      "  int x_{0}, y_ = 0;\n"
      "};\n"
      "std::vector<int> f(const B& b) const {\n"
      "  auto g = [](int i) { return i; };\n"
      "  if (b) { g(1); }\n"
      "}\n");
  ASSERT_EQ(a.functions.size(), 2u);
  EXPECT_EQ(a.functions[0].name, "A");
  EXPECT_EQ(a.functions[0].first_line, 3);
  EXPECT_EQ(a.functions[0].last_line, 8);
  EXPECT_EQ(a.functions[1].name, "f");
  EXPECT_EQ(a.functions[1].first_line, 11);
  EXPECT_EQ(a.functions[1].last_line, 14);
  EXPECT_TRUE(a.mutable_globals.empty());
}

TEST(Globals, MutableOnesAreFound) {
  for (const char* bad :
       {"int counter = 0;", "static std::string name;", "std::atomic<int> users{0};",
        "thread_local int depth;", "void f() { static int calls = 0; }",
        "struct A { static int count; };", "namespace { std::map<int, int> cache; }"}) {
    EXPECT_THAT(messages("src/base/a.cpp", std::string("// A.\n") + bad + "\n"),
                ElementsAre(HasSubstr("2 global: ")))
        << bad;
  }
}

TEST(Globals, ConstantsAndDeclarationsAreFine) {
  for (const char* good :
       {"constexpr int kLimit = 3;", "const std::string kName = \"a\";", "int f(int a);",
        "class A;", "using B = std::vector<int>;",
        "void f() { static const int k = 1; int n = 0; n = 2; }",
        "struct A { int count = 0; static constexpr int k = 1; };", "inline constexpr A kA{1, 2};",
        "enum class E { a, b };", "extern \"C\" { void g(); }", "static int f() { return 1; }",
        "void f(std::vector<int> v) { for (int i : {1, 2}) v.push_back(i); }"}) {
    EXPECT_THAT(messages("src/base/a.cpp", std::string("// A.\n") + good + "\n"), IsEmpty())
        << good;
  }
}

TEST(Words, NamesAndUnfinishedWork) {
  EXPECT_THAT(messages("src/base/string_utils.cpp", "// A.\n"), ElementsAre(HasSubstr("name: ")));
  EXPECT_THAT(messages("src/base/common.h", "// A.\n#pragma once\n"),
              ElementsAre(HasSubstr("name: ")));
  EXPECT_THAT(messages("src/base/a.cpp", "// A.\n// TODO: later\n"),
              ElementsAre(HasSubstr("unfinished")));
}

}  // namespace
}  // namespace halftone::check
