// Statements; expressions are in jinja_expressions.cpp.
#include "text/jinja_evaluator.h"

#include <algorithm>
#include <utility>

namespace halftone::jinja {

namespace {

constexpr size_t kMostOutput = size_t{64} << 20;
constexpr int64_t kMostDepth = 500, kMostSteps = 20'000'000;

}  // namespace

std::string Evaluator::run(const std::vector<Statement>& statements, const Json& variables) {
  Scope& globals = *heap_.scope(nullptr);
  for (const auto& [name, value] : variables.items())
    globals.names.set(heap_.text(name), heap_.from_json(value));
  std::string out;
  out_ = &out;
  run_all(statements, *heap_.scope(&globals));
  return out;
}

void Evaluator::enter(int line) {
  line_ = line;
  if (++steps_ > kMostSteps) fail("takes more than {} steps", kMostSteps);
  if (depth_ > kMostDepth) fail("nests or calls itself more than {} levels deep", kMostDepth);
}

void Evaluator::write(std::string_view text) {
  if (out_->size() + text.size() > kMostOutput) fail("writes more than {} MiB", kMostOutput >> 20);
  *out_ += text;
}

Evaluator::Flow Evaluator::run_all(const std::vector<Statement>& statements, Scope& scope) {
  ++depth_;
  Flow flow = Flow::on;
  for (const Statement& statement : statements) {
    enter(statement.line);
    flow = run_one(statement, scope);
    if (flow != Flow::on) break;
  }
  --depth_;
  return flow;
}

Evaluator::Flow Evaluator::run_one(const Statement& statement, Scope& scope) {
  switch (statement.kind) {
    case Statement::Kind::text:
      write(statement.text);
      return Flow::on;
    case Statement::Kind::output: {
      const Expression* value = &statement.value;
      while (value->kind == Expression::Kind::filter && value->name == "safe" &&
             value->parts.size() == 1 && value->named.empty())
        value = &value->parts[0];
      write(text_of(evaluate(*value, scope)));
      return Flow::on;
    }
    case Statement::Kind::branches:
      for (const Branch& branch : statement.branches)
        if (truth(evaluate(branch.condition, scope))) return run_all(branch.body, scope);
      return run_all(statement.otherwise, scope);
    case Statement::Kind::loop:
      return run_loop(statement, scope);
    case Statement::Kind::set:
      assign(statement.target, evaluate(statement.value, scope), scope);
      return Flow::on;
    case Statement::Kind::set_block: {
      // The filters' input is the part that the parser left absent.
      Scope& inner = *heap_.scope(&scope);
      inner.names.set("", captured(statement.body, inner));
      assign(statement.target, evaluate(statement.value, inner), scope);
      return Flow::on;
    }
    case Statement::Kind::macro:
      scope.names.set(
          statement.text,
          heap_.callable({.name = statement.text, .macro = &statement, .scope = &scope}));
      return Flow::on;
    case Statement::Kind::call:
      write(text_of(
          evaluate_call(statement.value, scope,
                        heap_.callable({.name = "caller", .macro = &statement, .scope = &scope}))));
      return Flow::on;
    case Statement::Kind::generation:
      return run_all(statement.body, *heap_.scope(&scope));
    case Statement::Kind::leave:
      return Flow::leave;
    default:
      return Flow::next;
  }
}

std::string_view Evaluator::captured(const std::vector<Statement>& body, Scope& scope) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  run_all(body, scope);
  out_ = outer;
  return heap_.text(std::move(text));
}

// Those that pass the loop's filter.
std::vector<Value> Evaluator::looped_items(const Statement& statement, Scope& scope) {
  std::vector<Value> items = items_of(evaluate(statement.value, scope));
  if (statement.condition.kind == Expression::Kind::absent) return items;
  std::vector<Value> passed;
  for (const Value& item : items) {
    Scope& inner = *heap_.scope(&scope);
    assign(statement.target, item, inner);
    if (truth(evaluate(statement.condition, inner))) passed.push_back(item);
  }
  return passed;
}

Evaluator::Flow Evaluator::run_loop(const Statement& statement, Scope& scope) {
  const std::vector<Value> items = looped_items(statement, scope);
  if (items.empty()) return run_all(statement.otherwise, *heap_.scope(&scope));
  const std::vector<Value>& kept = heap_.sequence(Sequence::Form::view, items)->items;
  Loop& loop = *heap_.loop({.items = &kept, .depth = ++loops_});
  for (; loop.index < kept.size(); ++loop.index) {
    Scope& inner = *heap_.scope(&scope);
    inner.names.set("loop", &loop);
    assign(statement.target, kept[loop.index], inner);
    if (run_all(statement.body, inner) == Flow::leave) break;
  }
  --loops_;
  return Flow::on;
}

void Evaluator::assign(const Expression& target, const Value& value, Scope& scope) {
  if (target.kind == Expression::Kind::name) {
    scope.names.set(target.name, value);
    return;
  }
  if (target.kind == Expression::Kind::attribute) {
    const Value space = look_up(target.parts[0].name, scope);
    const auto* entries = get<Dict*>(space);
    if (!entries)
      fail("{} is {}: only a namespace's attributes can be set", target.parts[0].name,
           kind_of(space));
    (*entries)->set(target.name, value);
    return;
  }
  const std::vector<Value> items = items_of(value);
  if (items.size() != target.parts.size())
    fail("got {} values, expected {}", items.size(), target.parts.size());
  for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i], scope);
}

}  // namespace halftone::jinja
