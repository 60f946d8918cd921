// Statements, and the tokens that both halves of the parser read.
#include "text/jinja_parser.h"

#include <algorithm>

namespace halftone::jinja {
namespace {

using Kind = Statement::Kind;

constexpr int kMostLevels = 100;

std::string shown(const Token& token) {
  switch (token.kind) {
    case Token::Kind::output_end:
      return "}}";
    case Token::Kind::block_end:
      return "%}";
    case Token::Kind::string:
      return "a string";
    case Token::Kind::end:
    case Token::Kind::text:
    case Token::Kind::output_begin:
    case Token::Kind::block_begin:
      return "the end";
    default:
      return "'" + token.text + "'";
  }
}

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens)
      : tokens_(std::move(tokens)), expressions_(tokens_) {}

  std::vector<Statement> run() {
    std::vector<Statement> all = parse_body({});
    assert_end();
    return all;
  }

 private:
  using Names = std::vector<std::string_view>;

  void assert_end() const {
    if (tokens_.now().kind != Token::Kind::end) tokens_.unexpected("the template's end");
  }

  // Up to a block that begins with one of `ends`, of which {% and the name are taken (ended_by_ is
  // the name); without `ends`, to the template's end.
  std::vector<Statement> parse_body(const Names& ends) {
    if (++level_ > kMostLevels)
      tokens_.refuse(fmt::format("blocks of more than {} levels", kMostLevels));
    const int opened = tokens_.now().line;
    std::vector<Statement> body;
    for (;;) {
      const Token& token = tokens_.now();
      if (token.kind == Token::Kind::end) {
        if (!ends.empty())
          throw SyntaxFault{opened, fmt::format("a block without {{% {} %}}", ends.back())};
        break;
      }
      if (token.kind == Token::Kind::text) {
        const int line = token.line;
        body.push_back({.kind = Kind::text, .line = line, .text = tokens_.take().text});
      } else if (token.kind == Token::Kind::output_begin) {
        body.push_back(parse_output());
      } else {
        tokens_.take();
        const Token& name = tokens_.now();
        if (name.kind == Token::Kind::name &&
            std::find(ends.begin(), ends.end(), name.text) != ends.end()) {
          ended_by_ = tokens_.take().text;
          break;
        }
        body.push_back(parse_statement());
      }
    }
    --level_;
    return body;
  }

  void end_block() {
    if (tokens_.now().kind != Token::Kind::block_end) tokens_.unexpected("%}");
    tokens_.take();
  }

  Statement parse_output() {
    const int line = tokens_.take().line;
    Statement made{.kind = Kind::output, .line = line, .value = expressions_.parse_tuple()};
    if (tokens_.now().kind != Token::Kind::output_end) tokens_.unexpected("}}");
    tokens_.take();
    return made;
  }

  Statement parse_statement() {
    const int line = tokens_.now().line;
    const std::string name = tokens_.expect_name();
    if (name == "if") return parse_if(line);
    if (name == "for") return parse_for(line);
    if (name == "set") return parse_set(line);
    if (name == "macro") return parse_macro(line);
    if (name == "call") return parse_call(line);
    if (name == "generation") {
      end_block();
      Statement made{.kind = Kind::generation, .line = line, .body = parse_body({"endgeneration"})};
      end_block();
      return made;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) throw SyntaxFault{line, fmt::format("{{% {} %}} outside of a loop", name)};
      end_block();
      return {.kind = name == "break" ? Kind::leave : Kind::next, .line = line};
    }
    throw SyntaxFault{line, fmt::format("the statement {{% {} %}} is not supported", name)};
  }

  Statement parse_if(int line) {
    Statement made{.kind = Kind::branches, .line = line};
    do {
      Expression condition = expressions_.parse_tuple(/*with_choice=*/false);
      end_block();
      made.branches.push_back({std::move(condition), parse_body({"elif", "else", "endif"})});
    } while (ended_by_ == "elif");
    if (ended_by_ == "else") {
      end_block();
      made.otherwise = parse_body({"endif"});
    }
    end_block();
    return made;
  }

  Statement parse_for(int line) {
    Statement made{.kind = Kind::loop, .line = line, .target = expressions_.parse_target()};
    if (!is_plain(made.target)) tokens_.refuse("a loop's variable is a plain name");
    if (!tokens_.take_name_if("in")) tokens_.unexpected("'in'");
    made.value = expressions_.parse_tuple(/*with_choice=*/false);
    if (tokens_.take_name_if("if")) made.condition = expressions_.parse();
    if (tokens_.now().is_name("recursive")) tokens_.refuse("recursive loops are not supported");
    end_block();
    ++loops_;
    made.body = parse_body({"else", "endfor"});
    --loops_;
    if (ended_by_ == "else") {
      end_block();
      made.otherwise = parse_body({"endfor"});
    }
    end_block();
    return made;
  }

  static bool is_plain(const Expression& target) {
    if (target.kind == Expression::Kind::attribute) return false;
    return std::all_of(target.parts.begin(), target.parts.end(), is_plain);
  }

  Statement parse_set(int line) {
    Statement made{.kind = Kind::set, .line = line, .target = expressions_.parse_target()};
    if (tokens_.take_if("=")) {
      made.value = expressions_.parse_tuple();
      end_block();
      return made;
    }
    made.kind = Kind::set_block;
    made.value = expressions_.parse_filters({.line = line});
    end_block();
    made.body = parse_apart({"endset"});
    end_block();
    return made;
  }

  Statement parse_macro(int line) {
    Statement made{.kind = Kind::macro, .line = line, .text = tokens_.expect_name()};
    parse_parameters(made);
    end_block();
    made.body = parse_apart({"endmacro"});
    end_block();
    return made;
  }

  Statement parse_call(int line) {
    Statement made{.kind = Kind::call, .line = line};
    if (tokens_.now().is("(")) parse_parameters(made);
    made.value = expressions_.parse();
    if (made.value.kind != Expression::Kind::call) tokens_.refuse("{% call %} without a call");
    end_block();
    made.body = parse_apart({"endcall"});
    end_block();
    return made;
  }

  void parse_parameters(Statement& made) {
    tokens_.expect("(");
    while (!tokens_.now().is(")")) {
      const std::string name = tokens_.expect_name();
      Expression value{.line = made.line};
      if (tokens_.take_if("=")) value = expressions_.parse();
      made.parameters.emplace_back(name, std::move(value));
      if (!tokens_.take_if(",")) break;
    }
    tokens_.expect(")");
  }

  // A body that cannot leave the loops around it.
  std::vector<Statement> parse_apart(const Names& ends) {
    const int loops = std::exchange(loops_, 0);
    std::vector<Statement> body = parse_body(ends);
    loops_ = loops;
    return body;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  std::string ended_by_;
  int level_ = 0, loops_ = 0;
};

}  // namespace

Token TokenStream::take() {
  const Token token = tokens_[at_];
  if (token.kind != Token::Kind::end) ++at_;
  return token;
}

bool TokenStream::take_if(std::string_view sign) {
  if (!now().is(sign)) return false;
  take();
  return true;
}

bool TokenStream::take_name_if(std::string_view name) {
  if (!now().is_name(name)) return false;
  take();
  return true;
}

void TokenStream::expect(std::string_view sign) {
  if (!take_if(sign)) unexpected(fmt::format("'{}'", sign));
}

std::string TokenStream::expect_name() {
  if (now().kind != Token::Kind::name) unexpected("a name");
  return take().text;
}

void TokenStream::unexpected(std::string_view expected) const {
  refuse(fmt::format("got {}, expected {}", shown(now()), expected));
}

void TokenStream::refuse(std::string message) const {
  throw SyntaxFault{now().line, std::move(message)};
}

std::vector<Statement> parse_template(std::string_view source) {
  return StatementParser(tokens_of(source)).run();
}

}  // namespace halftone::jinja
