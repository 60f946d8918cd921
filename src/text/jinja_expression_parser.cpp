// Expressions, by Jinja's precedence: inline if, or, and, not, comparisons, + and −, ~, * / // %,
// **, signs, then attributes, calls, filters and tests.
#include <algorithm>
#include <charconv>

#include "text/jinja_filters.h"
#include "text/jinja_parser.h"

namespace halftone::jinja {
namespace {

using Kind = Expression::Kind;

constexpr int kMostLevels = 200;

template <class... Parts>
std::vector<Expression> parts_of(Parts&&... parts) {
  std::vector<Expression> list;
  list.reserve(sizeof...(parts));
  (list.push_back(std::forward<Parts>(parts)), ...);
  return list;
}

bool is_comparison(const Token& token) {
  if (token.kind == Token::Kind::name) return token.text == "in";
  for (const std::string_view sign : {"==", "!=", "<", "<=", ">", ">="})
    if (token.is(sign)) return true;
  return false;
}

}  // namespace

Expression ExpressionParser::make(Kind kind, int line, std::string name,
                                  std::vector<Expression> parts) {
  Expression made{.kind = kind, .line = line, .name = std::move(name), .parts = std::move(parts)};
  for (const Expression& part : made.parts) made.depth = std::max(made.depth, part.depth + 1);
  if (made.depth > kMostLevels)
    throw SyntaxFault{line, fmt::format("an expression of more than {} levels", kMostLevels)};
  return made;
}

Expression ExpressionParser::parse(bool with_choice) {
  if (++level_ > kMostLevels)
    tokens_.refuse(fmt::format("an expression of more than {} levels", kMostLevels));
  Expression value = parse_or();
  while (with_choice && tokens_.now().is_name("if")) {
    const int line = tokens_.take().line;
    Expression condition = parse_or();
    Expression otherwise = tokens_.take_name_if("else") ? parse() : Expression{.line = line};
    value = make(Kind::choice, line, "",
                 parts_of(std::move(value), std::move(condition), std::move(otherwise)));
  }
  --level_;
  return value;
}

Expression ExpressionParser::parse_tuple(bool with_choice) {
  const int line = tokens_.now().line;
  Expression first = parse(with_choice);
  if (!tokens_.now().is(",")) return first;
  std::vector<Expression> parts;
  parts.push_back(std::move(first));
  while (tokens_.take_if(",")) {
    const Token& next = tokens_.now();
    if (next.is(")") || next.kind == Token::Kind::output_end || next.kind == Token::Kind::block_end)
      break;
    parts.push_back(parse(with_choice));
  }
  return make(Kind::tuple, line, "", std::move(parts));
}

Expression ExpressionParser::parse_or() {
  Expression left = parse_and();
  while (tokens_.now().is_name("or")) {
    const int line = tokens_.take().line;
    left = make(Kind::binary, line, "or", parts_of(std::move(left), parse_and()));
  }
  return left;
}

Expression ExpressionParser::parse_and() {
  Expression left = parse_not();
  while (tokens_.now().is_name("and")) {
    const int line = tokens_.take().line;
    left = make(Kind::binary, line, "and", parts_of(std::move(left), parse_not()));
  }
  return left;
}

Expression ExpressionParser::parse_not() {
  const int line = tokens_.now().line;
  int negations = 0;
  while (tokens_.take_name_if("not")) ++negations;
  Expression value = parse_comparison();
  for (; negations > 0; --negations)
    value = make(Kind::negation, line, "", parts_of(std::move(value)));
  return value;
}

Expression ExpressionParser::parse_comparison() {
  Expression first = parse_sum();
  const int line = tokens_.now().line;
  std::vector<Expression> parts;
  std::vector<std::string> names;
  for (;;) {
    const bool not_in = tokens_.now().is_name("not") && tokens_.ahead().is_name("in");
    if (!not_in && !is_comparison(tokens_.now())) break;
    if (parts.empty()) parts.push_back(std::move(first));
    if (not_in) tokens_.take();
    names.push_back((not_in ? "not " : "") + tokens_.take().text);
    parts.push_back(parse_sum());
  }
  if (parts.empty()) return first;
  Expression made = make(Kind::comparison, line, "", std::move(parts));
  made.names = std::move(names);
  return made;
}

Expression ExpressionParser::parse_sum() {
  Expression left = parse_concat();
  while (tokens_.now().is("+") || tokens_.now().is("-")) {
    Token sign = tokens_.take();
    left = make(Kind::binary, sign.line, std::move(sign.text),
                parts_of(std::move(left), parse_concat()));
  }
  return left;
}

Expression ExpressionParser::parse_concat() {
  Expression first = parse_product();
  if (!tokens_.now().is("~")) return first;
  const int line = tokens_.now().line;
  std::vector<Expression> parts;
  parts.push_back(std::move(first));
  while (tokens_.take_if("~")) parts.push_back(parse_product());
  return make(Kind::concat, line, "", std::move(parts));
}

Expression ExpressionParser::parse_product() {
  Expression left = parse_power();
  while (tokens_.now().is("*") || tokens_.now().is("/") || tokens_.now().is("//") ||
         tokens_.now().is("%")) {
    Token sign = tokens_.take();
    left = make(Kind::binary, sign.line, std::move(sign.text),
                parts_of(std::move(left), parse_power()));
  }
  return left;
}

// From the left, unlike Python: 2 ** 3 ** 2 is 64.
Expression ExpressionParser::parse_power() {
  Expression left = parse_unary(true);
  while (tokens_.now().is("**")) {
    const int line = tokens_.take().line;
    left = make(Kind::binary, line, "**", parts_of(std::move(left), parse_unary(true)));
  }
  return left;
}

// A sign binds tighter than a filter: -1|abs is 1.
Expression ExpressionParser::parse_unary(bool with_filters) {
  std::vector<Token> signs;
  while (tokens_.now().is("-") || tokens_.now().is("+")) signs.push_back(tokens_.take());
  Expression node = parse_postfix(parse_primary());
  for (; !signs.empty(); signs.pop_back())
    node = make(Kind::sign, signs.back().line, signs.back().text, parts_of(std::move(node)));
  return with_filters ? parse_suffixes(std::move(node)) : node;
}

Expression ExpressionParser::parse_name() {
  const Token token = tokens_.take();
  const std::string& name = token.text;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    Expression made = make(Kind::boolean, token.line, "", {});
    made.integer = name == "true" || name == "True" ? 1 : 0;
    return made;
  }
  if (name == "none" || name == "None") return make(Kind::none, token.line, "", {});
  return make(Kind::name, token.line, name, {});
}

Expression ExpressionParser::parse_primary() {
  const Token& token = tokens_.now();
  const int line = token.line;
  switch (token.kind) {
    case Token::Kind::name:
      return parse_name();
    case Token::Kind::string: {
      std::string text;
      while (tokens_.now().kind == Token::Kind::string) text += tokens_.take().text;
      return make(Kind::text, line, std::move(text), {});
    }
    case Token::Kind::integer:
    case Token::Kind::number: {
      const bool integer = token.kind == Token::Kind::integer;
      const std::string digits = tokens_.take().text;
      Expression made = make(integer ? Kind::integer : Kind::number, line, "", {});
      const char *begin = digits.data(), *end = begin + digits.size();
      const std::errc wrong = integer ? std::from_chars(begin, end, made.integer).ec
                                      : std::from_chars(begin, end, made.number).ec;
      if (wrong != std::errc()) tokens_.refuse("the number " + digits + " is out of range");
      return made;
    }
    default:
      return parse_brackets();
  }
}

Expression ExpressionParser::parse_brackets() {
  const int line = tokens_.now().line;
  std::vector<Expression> parts;
  if (tokens_.take_if("(")) {
    if (tokens_.take_if(")")) return make(Kind::tuple, line, "", {});
    Expression within = parse_tuple();
    tokens_.expect(")");
    return within;
  }
  const bool list = tokens_.now().is("[");
  if (!list && !tokens_.now().is("{")) tokens_.unexpected("an expression");
  tokens_.take();
  const std::string_view close = list ? "]" : "}";
  while (!tokens_.now().is(close)) {
    parts.push_back(parse());
    if (!list) {
      tokens_.expect(":");
      parts.push_back(parse());
    }
    if (!tokens_.take_if(",")) break;
  }
  tokens_.expect(close);
  return make(list ? Kind::list : Kind::mapping, line, "", std::move(parts));
}

Expression ExpressionParser::parse_postfix(Expression node) {
  for (;;) {
    if (tokens_.now().is(".") || tokens_.now().is("["))
      node = parse_subscript(std::move(node));
    else if (tokens_.now().is("("))
      node = parse_call(std::move(node));
    else
      return node;
  }
}

Expression ExpressionParser::parse_suffixes(Expression node) {
  for (;;) {
    if (tokens_.now().is("|"))
      node = parse_filter(std::move(node));
    else if (tokens_.now().is_name("is"))
      node = parse_test(std::move(node));
    else if (tokens_.now().is("("))
      node = parse_call(std::move(node));
    else
      return node;
  }
}

Expression ExpressionParser::parse_filters(Expression input) {
  while (tokens_.now().is("|")) input = parse_filter(std::move(input));
  return input;
}

Expression ExpressionParser::parse_filter(Expression input) {
  tokens_.expect("|");
  const int line = tokens_.now().line;
  const std::string name = tokens_.expect_name();
  if (!is_filter(name))
    throw SyntaxFault{line, fmt::format("the filter \"{}\" is not known", name)};
  Expression made = make(Kind::filter, line, name, parts_of(std::move(input)));
  if (tokens_.now().is("(")) parse_arguments(made);
  return made;
}

Expression ExpressionParser::parse_test(Expression input) {
  const int line = tokens_.take().line;
  const bool negated = tokens_.take_name_if("not");
  const std::string name = tokens_.expect_name();
  if (!is_test(name)) throw SyntaxFault{line, fmt::format("the test \"{}\" is not known", name)};
  Expression made = make(Kind::test, line, name, parts_of(std::move(input)));
  const Token& next = tokens_.now();
  if (next.is("(")) {
    parse_arguments(made);
  } else if (next.is_name("is")) {
    tokens_.refuse("tests cannot follow each other");
  } else if ((next.kind == Token::Kind::name && next.text != "else" && next.text != "or" &&
              next.text != "and") ||
             next.kind == Token::Kind::string || next.kind == Token::Kind::integer ||
             next.kind == Token::Kind::number || next.is("[") || next.is("{")) {
    Expression argument = parse_postfix(parse_primary());
    made = make(Kind::test, line, name, parts_of(std::move(made.parts[0]), std::move(argument)));
  }
  return negated ? make(Kind::negation, line, "", parts_of(std::move(made))) : made;
}

Expression ExpressionParser::parse_call(Expression callee) {
  Expression made = make(Kind::call, tokens_.now().line, "", parts_of(std::move(callee)));
  parse_arguments(made);
  return made;
}

// Appends to the call's parts.
void ExpressionParser::parse_arguments(Expression& call) {
  tokens_.expect("(");
  while (!tokens_.now().is(")")) {
    if (tokens_.now().is("**")) tokens_.refuse("arguments by ** are not supported");
    if (tokens_.now().kind == Token::Kind::name && tokens_.ahead().is("=")) {
      const std::string name = tokens_.expect_name();
      tokens_.expect("=");
      call.named.emplace_back(name, parse());
      call.depth = std::max(call.depth, call.named.back().second.depth + 1);
    } else {
      if (!call.named.empty()) tokens_.refuse("an argument without a name behind one with");
      const int line = tokens_.now().line;
      if (tokens_.take_if("*"))
        call.parts.push_back(make(Kind::spread, line, "", parts_of(parse())));
      else
        call.parts.push_back(parse());
      call.depth = std::max(call.depth, call.parts.back().depth + 1);
    }
    if (!tokens_.take_if(",")) break;
  }
  tokens_.expect(")");
  if (call.depth > kMostLevels)
    tokens_.refuse(fmt::format("an expression of more than {} levels", kMostLevels));
}

Expression ExpressionParser::parse_subscript(Expression node) {
  const Token open = tokens_.take();
  if (open.text == ".") {
    if (tokens_.now().kind == Token::Kind::name)
      return make(Kind::attribute, open.line, tokens_.expect_name(), parts_of(std::move(node)));
    if (tokens_.now().kind != Token::Kind::integer) tokens_.unexpected("a name or a number");
    return make(Kind::item, open.line, "", parts_of(std::move(node), parse_primary()));
  }
  const auto ends = [&] { return tokens_.now().is(":") || tokens_.now().is("]"); };
  const auto bound = [&] { return ends() ? Expression{.line = open.line} : parse(); };
  Expression first = tokens_.now().is("]") ? parse() : bound();
  if (!tokens_.take_if(":")) {
    tokens_.expect("]");
    return make(Kind::item, open.line, "", parts_of(std::move(node), std::move(first)));
  }
  Expression second = bound();
  Expression third = tokens_.take_if(":") ? bound() : Expression{.line = open.line};
  tokens_.expect("]");
  return make(Kind::slice, open.line, "",
              parts_of(std::move(node), std::move(first), std::move(second), std::move(third)));
}

Expression ExpressionParser::parse_target() {
  const int line = tokens_.now().line;
  if (++level_ > kMostLevels)
    tokens_.refuse(fmt::format("an expression of more than {} levels", kMostLevels));
  std::vector<Expression> parts;
  do {
    if (tokens_.take_if("(")) {
      parts.push_back(parse_target());
      tokens_.expect(")");
      continue;
    }
    if (tokens_.now().kind != Token::Kind::name) tokens_.unexpected("a name to assign to");
    Expression name = parse_name();
    if (name.kind != Kind::name) tokens_.refuse("a constant cannot be assigned to");
    if (tokens_.take_if("."))
      name = make(Kind::attribute, line, tokens_.expect_name(), parts_of(std::move(name)));
    parts.push_back(std::move(name));
  } while (tokens_.take_if(","));
  --level_;
  return parts.size() == 1 ? std::move(parts[0]) : make(Kind::tuple, line, "", std::move(parts));
}

}  // namespace halftone::jinja
