#include "base/json.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halftone {
namespace {

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    return error.what();
  }
  return "(nothing thrown)";
}

std::string parse_message(std::string_view text) {
  return message_of([&] { parse_json(text, "f.json"); });
}

TEST(Json, WorkedExample) {
  const Json json = parse_json(R"({"b": 1, "a": {"list": [1, 2.5, "x", null, true]}})", "f.json");
  EXPECT_EQ(json.dump(), R"({"b":1,"a":{"list":[1,2.5,"x",null,true]}})") << "order is kept";
  EXPECT_EQ(parse_json("[]", "f.json").size(), 0u);
}

TEST(Json, SaysWhereItIsBroken) {
  EXPECT_EQ(parse_message(""), "f.json: is empty, expected JSON");
  EXPECT_EQ(parse_message("{\n  \"a\": x}"),
            "f.json: line 2, column 8: syntax error while parsing value - invalid literal");
  EXPECT_EQ(parse_message(R"({"a": {"k": 1, "k": 2}})"),
            "f.json: key \"k\" appears twice in one object");
  EXPECT_NE(parse_message("{\"a\": \"\xff\"}").find("invalid string: ill-formed UTF-8"),
            std::string::npos);
  EXPECT_NE(parse_message("{\"a\": 1} x").find("line 1, column 10"), std::string::npos);
  EXPECT_NE(parse_message("[1e999]").find("f.json: line 1"), std::string::npos);
  EXPECT_NE(parse_message("{\"a\": 1").find("unexpected end of input"), std::string::npos);
  EXPECT_NE(parse_message("NaN").find("f.json: line 1"), std::string::npos);
}

TEST(Json, DepthIsCapped) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(kMaxJsonDepth), "f.json"));
  EXPECT_EQ(parse_message(nested(kMaxJsonDepth + 1)), "f.json: nested deeper than 64 levels");
  EXPECT_EQ(parse_message(std::string(1 << 20, '[')), "f.json: nested deeper than 64 levels");
}

TEST(Json, ManyKeysTakeLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 300000; ++i) text += "\"k" + std::to_string(i) + "\":0,";
  text.back() = '}';
  EXPECT_EQ(parse_json(text, "f.json").size(), 300000u);
}

TEST(JsonObject, ChecksTypesAndRanges) {
  const Json json = parse_json(
      R"({"n": 7, "f": 2.0, "h": 0.5, "s": "abc", "t": true, "z": null, "neg": -3,
          "big": 18446744073709551615, "o": {"x": "y"}, "l": [1]})",
      "c.json");
  const JsonObject object(json, "c.json");
  EXPECT_EQ(object.integer("n", 1, 10), 7);
  EXPECT_EQ(object.integer("f", 1, 10), 2);
  EXPECT_EQ(object.maybe_integer("z", 1, 10), std::nullopt);
  EXPECT_EQ(object.maybe_integer("none", 1, 10), std::nullopt);
  EXPECT_EQ(object.number("h", 0, 1), 0.5);
  EXPECT_EQ(object.text("s"), "abc");
  EXPECT_TRUE(object.flag("t", false));
  EXPECT_TRUE(object.flag("none", true));
  EXPECT_FALSE(object.has("z"));
  const auto message = [&](auto call) { return message_of(call); };
  EXPECT_EQ(message([&] { object.integer("s", 1, INT64_MAX); }),
            "c.json: s: expected a positive integer, got \"abc\"");
  EXPECT_EQ(message([&] { object.integer("neg", 0, 9); }),
            "c.json: neg: expected an integer from 0 to 9, got -3");
  EXPECT_EQ(message([&] { object.integer("big", 0, INT64_MAX); }).substr(0, 11), "c.json: big");
  EXPECT_EQ(message([&] { object.integer("h", 0, 9); }).substr(0, 9), "c.json: h");
  EXPECT_EQ(message([&] { object.integer("z", 0, 9); }), "c.json: z: missing, expected an integer");
  EXPECT_EQ(message([&] { object.number("h", 1, 2); }),
            "c.json: h: expected a number from 1 to 2, got 0.5");
  EXPECT_EQ(message([&] { object.text("n"); }), "c.json: n: expected a string, got 7");
  EXPECT_EQ(message([&] { object.flag("n", false); }), "c.json: n: expected true or false, got 7");
  EXPECT_EQ(message([&] { object.maybe_object("l"); }),
            "c.json: l: expected an object, got an array");
  EXPECT_EQ(message([&] { object.maybe_object("o")->integer("x", 0, 1); }),
            "c.json: o: x: expected an integer from 0 to 1, got \"y\"");
}

}  // namespace
}  // namespace halftone
