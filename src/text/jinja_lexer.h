// A Jinja template's source as tokens, by the rules of Jinja's own lexer with trim_blocks and
// lstrip_blocks, as Transformers sets them: what "-" and "+" beside a delimiter, and blocks alone
// on a line, take away of the text around them is gone here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace halftone::jinja {

struct Token {
  enum class Kind {
    text,          // outside of all delimiters
    output_begin,  // {{
    output_end,
    block_begin,  // {%
    block_end,
    name,
    string,
    integer,
    number,
    sign,  // an operator or a bracket
    end
  };
  Kind kind = Kind::end;
  std::string text;  // of a string: what it means, not how it is spelled
  int line = 0;

  bool is(std::string_view sign_text) const { return kind == Kind::sign && text == sign_text; }
  bool is_name(std::string_view name_text) const { return kind == Kind::name && text == name_text; }
};

// A fault in the source, and where.
struct SyntaxFault {
  int line = 0;
  std::string message;
};

// Ends with a token of kind `end`. Throws SyntaxFault.
std::vector<Token> tokens_of(std::string_view source);

}  // namespace halftone::jinja
