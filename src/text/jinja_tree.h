// A Jinja template as a tree.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace halftone::jinja {

struct Expression {
  enum class Kind {
    text,     // `name` is the string
    integer,  // `integer`
    number,   // `number`
    boolean,  // `integer` 0 or 1
    none,
    name,       // `name`
    list,       // parts
    tuple,      // parts
    mapping,    // parts: key, value, key, value, …
    attribute,  // parts[0].name
    item,       // parts[0][parts[1]]
    slice,      // parts[0][parts[1]:parts[2]:parts[3]], `absent` where left out
    absent,
    call,        // parts[0](parts[1], …, named)
    spread,      // *parts[0], an argument
    filter,      // parts[0] | name(parts[1], …, named)
    test,        // parts[0] is name(parts[1], …, named)
    negation,    // not parts[0]
    sign,        // name "+" or "-": of parts[0]
    binary,      // parts[0] name parts[1]: and, or, +, -, *, /, //, %, **
    concat,      // parts[0] ~ parts[1] ~ …
    comparison,  // parts[0] names[0] parts[1] names[1] parts[2] …
    choice       // parts[0] if parts[1] else parts[2] (may be absent)
  };
  Kind kind = Kind::absent;
  int line = 0;
  std::string name = {};
  long long integer = 0;
  double number = 0;
  std::vector<Expression> parts = {};
  std::vector<std::pair<std::string, Expression>> named = {};  // arguments by name
  std::vector<std::string> names = {};                         // comparison: the operators
  int depth = 1;                                               // levels, this one counted
};

struct Branch;
struct Statement {
  enum class Kind {
    text,        // `text`
    output,      // {{ value }}
    branches,    // if, elif, …; otherwise
    loop,        // for target in value if condition; otherwise
    set,         // set target = value
    set_block,   // set target: body, through the filters that `value` is applied to
    macro,       // macro text(parameters): body
    call,        // call(parameters) value: body, which the macro gets as caller()
    generation,  // a block of the assistant's own words: its body
    leave,       // break
    next         // continue
  };
  Kind kind = Kind::text;
  int line = 0;
  std::string text = {};
  Expression target = {}, value = {}, condition = {};
  std::vector<std::pair<std::string, Expression>> parameters = {};  // default may be absent
  std::vector<Branch> branches;
  std::vector<Statement> body = {}, otherwise = {};
};

struct Branch {
  Expression condition;
  std::vector<Statement> body;
};

}  // namespace halftone::jinja
