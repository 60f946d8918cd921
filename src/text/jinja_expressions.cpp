// Expressions and calls.
#include <algorithm>
#include <utility>

#include "text/jinja_evaluator.h"

namespace halftone::jinja {
namespace {

using Kind = Expression::Kind;

// Jinja defines these; an undefined value in their place would pass unnoticed.
constexpr std::string_view kNotSupported[] = {"cycler",  "joiner", "lipsum", "caller",
                                              "varargs", "kwargs", "self"};

}  // namespace

Value Evaluator::look_up(std::string_view name, const Scope& scope) {
  for (const Scope* at = &scope; at; at = at->parent)
    if (const Value* found = at->names.find(name)) return *found;
  if (is_function(name)) return heap_.callable({.name = name});
  if (std::find(std::begin(kNotSupported), std::end(kNotSupported), name) !=
      std::end(kNotSupported))
    fail("{} is not supported", name);
  return Undefined{name};
}

Value Evaluator::evaluate(const Expression& expression, Scope& scope) {
  ++depth_;
  enter(expression.line);
  const Value value = evaluate_compound(expression, scope);
  --depth_;
  return value;
}

Value Evaluator::evaluate_compound(const Expression& expression, Scope& scope) {
  const auto part = [&](size_t i) { return evaluate(expression.parts[i], scope); };
  const auto back = [&] { line_ = expression.line; };  // the parts may stand in other lines
  switch (expression.kind) {
    case Kind::attribute: {
      const Value value = part(0);
      back();
      return attribute_of(heap_, value, expression.name);
    }
    case Kind::item: {
      const Value value = part(0), key = part(1);
      back();
      return item_of(heap_, value, key);
    }
    case Kind::slice:
      return evaluate_slice(expression, scope);
    case Kind::call:
      return evaluate_call(expression, scope);
    case Kind::filter: {
      const Value input = part(0);
      const Arguments arguments = arguments_of(expression, scope);
      back();
      return apply_filter(heap_, expression.name, input, arguments);
    }
    case Kind::test: {
      const Value input = part(0);
      const Arguments arguments = arguments_of(expression, scope);
      back();
      return apply_test(expression.name, input, arguments);
    }
    case Kind::binary:
      if (expression.name != "and" && expression.name != "or") {
        const Value left = part(0), right = part(1);
        back();
        return calculate(heap_, expression.name, left, right);
      }
      return evaluate_logic(expression, scope);
    case Kind::negation:
    case Kind::sign:
    case Kind::choice:
      return evaluate_logic(expression, scope);
    case Kind::comparison:
      return evaluate_comparison(expression, scope);
    default:
      return evaluate_literal(expression, scope);
  }
}

Value Evaluator::evaluate_literal(const Expression& expression, Scope& scope) {
  switch (expression.kind) {
    case Kind::text:
      return std::string_view(expression.name);
    case Kind::integer:
      return static_cast<int64_t>(expression.integer);
    case Kind::number:
      return expression.number;
    case Kind::boolean:
      return expression.integer != 0;
    case Kind::none:
      return None{};
    case Kind::name:
    case Kind::absent:  // a set block's text stands under the empty name
      return look_up(expression.name, scope);
    case Kind::concat: {
      std::string out;
      for (const Expression& part : expression.parts) out += text_of(evaluate(part, scope));
      return heap_.text(std::move(out));
    }
    case Kind::mapping: {
      Dict made;
      for (size_t i = 0; i < expression.parts.size(); i += 2) {
        const Value key = evaluate(expression.parts[i], scope);
        if (!is<std::string_view>(key))
          fail("a mapping's key: got {}, expected a string", kind_of(key));
        made.set(std::get<std::string_view>(key), evaluate(expression.parts[i + 1], scope));
      }
      return heap_.dict(std::move(made.entries));
    }
    default: {
      std::vector<Value> items;
      for (const Expression& part : expression.parts) items.push_back(evaluate(part, scope));
      return heap_.sequence(
          expression.kind == Kind::list ? Sequence::Form::list : Sequence::Form::tuple,
          std::move(items));
    }
  }
}

Value Evaluator::evaluate_logic(const Expression& expression, Scope& scope) {
  const std::vector<Expression>& parts = expression.parts;
  if (expression.kind == Kind::choice) {
    if (truth(evaluate(parts[1], scope))) return evaluate(parts[0], scope);
    if (parts[2].kind != Kind::absent) return evaluate(parts[2], scope);
    return Undefined{"an inline if without else"};
  }
  const Value value = evaluate(parts[0], scope);
  if (expression.kind == Kind::negation) return !truth(value);
  if (expression.kind == Kind::sign) {
    if (!number_of(value)) fail("{} of {}", expression.name, kind_of(value));
    const double* number = get<double>(value);
    if (number) return expression.name == "-" ? -*number : *number;
    return calculate(heap_, expression.name, int64_t{0}, value);
  }
  return truth(value) == (expression.name == "or") ? value : evaluate(parts[1], scope);
}

Value Evaluator::evaluate_comparison(const Expression& expression, Scope& scope) {
  const auto holds = [](std::string_view sign, const Value& a, const Value& b) {
    if (sign == "==") return equal(a, b);
    if (sign == "!=") return !equal(a, b);
    if (sign == "in") return contains(b, a);
    if (sign == "not in") return !contains(b, a);
    if (sign == "<") return less(a, b);
    if (sign == ">") return less(b, a);
    if (sign == "<=") return less(a, b) || equal(a, b);
    return less(b, a) || equal(a, b);
  };
  Value left = evaluate(expression.parts[0], scope);
  for (size_t i = 0; i < expression.names.size(); ++i) {
    const Value right = evaluate(expression.parts[i + 1], scope);
    line_ = expression.line;
    if (!holds(expression.names[i], left, right)) return false;
    left = right;
  }
  return true;
}

Value Evaluator::evaluate_slice(const Expression& expression, Scope& scope) {
  const Value value = evaluate(expression.parts[0], scope);
  std::array<Value, 3> bounds = {None{}, None{}, None{}};
  for (size_t i = 0; i < 3; ++i)
    if (expression.parts[i + 1].kind != Kind::absent)
      bounds[i] = evaluate(expression.parts[i + 1], scope);
  line_ = expression.line;
  return slice_of(heap_, value, bounds);
}

Arguments Evaluator::arguments_of(const Expression& expression, Scope& scope) {
  Arguments arguments;
  for (size_t i = 1; i < expression.parts.size(); ++i) {
    const Expression& part = expression.parts[i];
    if (part.kind == Kind::spread)
      for (const Value& item : items_of(evaluate(part.parts[0], scope)))
        arguments.positional.push_back(item);
    else
      arguments.positional.push_back(evaluate(part, scope));
  }
  for (const auto& [name, value] : expression.named)
    arguments.named.emplace_back(name, evaluate(value, scope));
  return arguments;
}

Value Evaluator::evaluate_call(const Expression& expression, Scope& scope, const Callable* caller) {
  const Value callee = evaluate(expression.parts[0], scope);
  const Arguments arguments = arguments_of(expression, scope);
  line_ = expression.line;
  const auto* found = get<const Callable*>(callee);
  if (!found) fail("{} cannot be called", kind_of(callee));
  const Callable& callable = **found;
  if (callable.macro) return call_macro(callable, arguments, caller);
  if (caller) fail("{{% call %}} of what is no macro");
  if (callable.self) return call_method(heap_, *callable.self, callable.name, arguments);
  return call_function(heap_, callable.name, arguments, now_);
}

Value Evaluator::call_macro(const Callable& callable, const Arguments& arguments,
                            const Callable* caller) {
  const auto& parameters = callable.macro->parameters;
  if (arguments.positional.size() > parameters.size())
    fail("macro {}: got {} arguments, expected at most {}", callable.name,
         arguments.positional.size(), parameters.size());
  for (const auto& argument : arguments.named) {
    const auto found =
        std::find_if(parameters.begin(), parameters.end(),
                     [&](const auto& parameter) { return parameter.first == argument.first; });
    if (found == parameters.end() ||
        found - parameters.begin() < static_cast<std::ptrdiff_t>(arguments.positional.size()))
      fail("macro {}: the argument {} is not known or given twice", callable.name, argument.first);
  }
  Scope& scope = *heap_.scope(callable.scope);
  if (caller) scope.names.set("caller", caller);
  const Dict named{arguments.named};
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, otherwise] = parameters[i];
    const Value* given = named.find(name);
    if (i < arguments.positional.size())
      scope.names.set(name, arguments.positional[i]);
    else if (given)
      scope.names.set(name, *given);
    else
      scope.names.set(name, otherwise.kind == Kind::absent ? Value(Undefined{name})
                                                           : evaluate(otherwise, scope));
  }
  return captured(callable.macro->body, scope);
}

}  // namespace halftone::jinja
