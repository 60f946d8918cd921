// The outline of a C++ source file: its lines without comments and literals, what it includes,
// where its functions begin and end, and what state it keeps outside of them. Not a parser: it
// counts braces and looks at the words before them, which is enough for code that clang-format has
// been over.
#pragma once

#include <string>
#include <vector>

namespace halftone::check {

struct Include {
  int line;
  std::string path;  // of #include "path"
};

struct Function {
  int first_line, last_line;  // signature to closing brace
  std::string name;
};

struct Variable {
  int line;
  std::string declaration;
};

struct Outline {
  std::vector<std::string> lines;  // as they are
  std::vector<std::string> code;   // comments and the insides of literals are blanks
  std::vector<Include> includes;
  std::vector<Function> functions;  // outermost ones; lambdas belong to what contains them
  std::vector<Variable> mutable_globals;
};

Outline outline(const std::string& text);

}  // namespace halftone::check
