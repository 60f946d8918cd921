// + - * / // % ** as Python has them: integers that never wrap (here they fail beyond 64 bits),
// quotients rounded down, strings and lists joined and repeated.
#include <algorithm>
#include <cmath>

#include "text/jinja_evaluator.h"

namespace halftone::jinja {
namespace {

[[noreturn]] void overflow(std::string_view sign) { fail("{}: the result is out of range", sign); }

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  const bool short_way = base >= -1 && base <= 1;
  if (short_way && exponent > 2) exponent = 2 + exponent % 2;
  for (; exponent > 0; --exponent)
    if (__builtin_mul_overflow(result, base, &result)) overflow("**");
  return result;
}

int64_t quotient(int64_t a, int64_t b, std::string_view sign) {
  if (b == 0) fail("{}: division by zero", sign);
  if (b == -1 && a == INT64_MIN) overflow(sign);
  const int64_t towards_zero = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? towards_zero - 1 : towards_zero;
}

Value of_integers(std::string_view sign, int64_t a, int64_t b) {
  int64_t result = 0;
  bool wrapped = false;
  if (sign == "+")
    wrapped = __builtin_add_overflow(a, b, &result);
  else if (sign == "-")
    wrapped = __builtin_sub_overflow(a, b, &result);
  else if (sign == "*")
    wrapped = __builtin_mul_overflow(a, b, &result);
  else if (sign == "//")
    result = quotient(a, b, sign);
  else if (sign == "%")
    result = b == -1 ? 0 : a - quotient(a, b, sign) * b;
  else
    result = power(a, b);
  if (wrapped) overflow(sign);
  return result;
}

Value of_numbers(std::string_view sign, double a, double b) {
  if (sign == "+") return a + b;
  if (sign == "-") return a - b;
  if (sign == "*") return a * b;
  if (sign == "**") {
    const double result = std::pow(a, b);
    if (!std::isfinite(result)) overflow(sign);
    return result;
  }
  if (b == 0) fail("{}: division by zero", sign);
  if (sign == "/") return a / b;
  const double rest = std::fmod(a, b);
  const bool down = rest != 0 && (rest < 0) != (b < 0);
  if (sign == "%") return down ? rest + b : rest;
  return std::floor((a - rest) / b + 0.5) - (down ? 1 : 0);
}

std::optional<Value> repeated(Heap& heap, const Value& what, const Value& times) {
  const auto count = integer_of(times);
  if (!count) return std::nullopt;
  const auto copies = static_cast<size_t>(std::max<int64_t>(*count, 0));
  const auto check = [&](size_t size) {
    if (size > 0 && copies > Heap::kMostBytes / size) overflow("*");
  };
  if (const auto* text = get<std::string_view>(what)) {
    check(text->size());
    std::string out;
    for (size_t i = 0; i < copies && !text->empty(); ++i) out += *text;
    return heap.text(std::move(out));
  }
  const Sequence* sequence = sequence_of(what);
  if (!sequence || sequence->form == Sequence::Form::generator) return std::nullopt;
  check(sequence->items.size() * sizeof(Value));
  std::vector<Value> items;
  for (size_t i = 0; i < copies && !sequence->items.empty(); ++i)
    items.insert(items.end(), sequence->items.begin(), sequence->items.end());
  return heap.sequence(sequence->form, std::move(items));
}

std::optional<Value> joined(Heap& heap, const Value& left, const Value& right) {
  const auto *s = get<std::string_view>(left), *t = get<std::string_view>(right);
  if (s && t) return heap.text(std::string(*s).append(*t));
  const Sequence *p = sequence_of(left), *q = sequence_of(right);
  if (!p || !q || p->form != q->form || p->form == Sequence::Form::view ||
      p->form == Sequence::Form::generator)
    return std::nullopt;
  std::vector<Value> items = p->items;
  items.insert(items.end(), q->items.begin(), q->items.end());
  return heap.sequence(p->form, std::move(items));
}

}  // namespace

Value calculate(Heap& heap, std::string_view sign, const Value& left, const Value& right) {
  const auto a = integer_of(left), b = integer_of(right);
  if (a && b && sign != "/" && (sign != "**" || *b >= 0)) return of_integers(sign, *a, *b);
  const auto x = number_of(left), y = number_of(right);
  if (x && y) return of_numbers(sign, *x, *y);
  std::optional<Value> result;
  if (sign == "+") result = joined(heap, left, right);
  if (sign == "*") {
    result = repeated(heap, left, right);
    if (!result) result = repeated(heap, right, left);
  }
  if (result) return *result;
  if (sign == "%" && is<std::string_view>(left)) fail("formatting by % is not supported");
  fail("{} {} {}", kind_of(left), sign, kind_of(right));
}

}  // namespace halftone::jinja
