// Runs a template's tree.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_filters.h"
#include "text/jinja_tree.h"
#include "text/jinja_value.h"

namespace halftone::jinja {

class Evaluator {
 public:
  Evaluator(Heap& heap, const std::tm& now) : heap_(heap), now_(now) {}
  // Throws Fault and Refusal; line() is then where.
  std::string run(const std::vector<Statement>& statements, const Json& variables);
  int line() const { return line_; }

 private:
  enum class Flow { on, leave, next };  // what break and continue do

  Flow run_all(const std::vector<Statement>& statements, Scope& scope);
  Flow run_one(const Statement& statement, Scope& scope);
  Flow run_loop(const Statement& statement, Scope& scope);
  std::vector<Value> looped_items(const Statement& statement, Scope& scope);
  std::string_view captured(const std::vector<Statement>& body, Scope& scope);
  void write(std::string_view text);
  void assign(const Expression& target, const Value& value, Scope& scope);

  Value evaluate(const Expression& expression, Scope& scope);
  Value evaluate_compound(const Expression& expression, Scope& scope);
  Value evaluate_literal(const Expression& expression, Scope& scope);
  Value evaluate_logic(const Expression& expression, Scope& scope);
  Value evaluate_comparison(const Expression& expression, Scope& scope);
  Value evaluate_slice(const Expression& expression, Scope& scope);
  // `caller`: what {% call %} gives the macro, or null.
  Value evaluate_call(const Expression& expression, Scope& scope, const Callable* caller = nullptr);
  Value call_macro(const Callable& callable, const Arguments& arguments, const Callable* caller);
  Value look_up(std::string_view name, const Scope& scope);
  Arguments arguments_of(const Expression& expression, Scope& scope);
  // One more level or step of work; fails when there were too many.
  void enter(int line);

  Heap& heap_;
  const std::tm& now_;
  std::string* out_ = nullptr;
  int line_ = 0;
  int64_t depth_ = 0, steps_ = 0, loops_ = 0;
};

// left + right and so on, as Python has it; `sign` is one of + - * / // % **.
Value calculate(Heap& heap, std::string_view sign, const Value& left, const Value& right);

}  // namespace halftone::jinja
