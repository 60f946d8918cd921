// Tokens to tree, with Jinja's grammar. What the evaluator does not know is refused here already,
// as far as it can be seen: statements, filters, tests.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja_lexer.h"
#include "text/jinja_tree.h"

namespace halftone::jinja {

// The tokens, and what both halves of the parser need of them.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take();
  bool take_if(std::string_view sign);
  bool take_name_if(std::string_view name);
  void expect(std::string_view sign);
  std::string expect_name();
  // "got 'x', expected …".
  [[noreturn]] void unexpected(std::string_view expected) const;
  [[noreturn]] void refuse(std::string message) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}
  // With an inline if, or without one (where "if" means something else).
  Expression parse(bool with_choice = true);
  // a or a, b: a tuple when there is a comma.
  Expression parse_tuple(bool with_choice = true);
  // | filter | filter, of `input`.
  Expression parse_filters(Expression input);
  // What set and for assign to: a name, a namespace's attribute, a tuple of them.
  Expression parse_target();

 private:
  Expression parse_or();
  Expression parse_and();
  Expression parse_not();
  Expression parse_comparison();
  Expression parse_sum();
  Expression parse_concat();
  Expression parse_product();
  Expression parse_power();
  Expression parse_unary(bool with_filters);
  Expression parse_primary();
  Expression parse_postfix(Expression node);
  Expression parse_suffixes(Expression node);
  Expression parse_filter(Expression input);
  Expression parse_test(Expression input);
  Expression parse_call(Expression callee);
  Expression parse_subscript(Expression node);
  Expression parse_brackets();
  Expression parse_name();
  void parse_arguments(Expression& call);
  Expression make(Expression::Kind kind, int line, std::string name, std::vector<Expression> parts);

  TokenStream& tokens_;
  int level_ = 0;
};

// Throws SyntaxFault.
std::vector<Statement> parse_template(std::string_view source);

}  // namespace halftone::jinja
