// A value is finite unless its exponent bits are all ones: integer compares, which vectorize.
#include "model/finite.h"

#include <cassert>

#include "base/error.h"

namespace halftone {
namespace {

template <class Word>
std::optional<NotFinite> find(ConstView x, Word exponent, Word mantissa) {
  for (int64_t r = 0; r < x.rows; ++r) {
    const Word* row = x.row<Word>(r);
    Word found = 0;
    for (int64_t c = 0; c < x.cols; ++c)
      found |= static_cast<Word>((row[c] & exponent) == exponent ? 1 : 0);
    if (!found) continue;
    for (int64_t c = 0; c < x.cols; ++c)
      if ((row[c] & exponent) == exponent) return NotFinite{r, c, (row[c] & mantissa) != 0};
  }
  return std::nullopt;
}

}  // namespace

std::optional<NotFinite> find_not_finite(ConstView x) {
  assert(x.place == Place::host);
  switch (x.dtype) {
    case DType::f32:
      return find<uint32_t>(x, 0x7f800000u, 0x007fffffu);
    case DType::bf16:
      return find<uint16_t>(x, 0x7f80u, 0x007fu);
    case DType::f16:
      return find<uint16_t>(x, 0x7c00u, 0x03ffu);
    default:
      assert(false && "not a floating-point type");
      return std::nullopt;
  }
}

void check_finite(std::string_view tensor, int64_t row_begin, ConstView rows) {
  const auto found = find_not_finite(rows);
  if (!found) return;
  throw bad_input("{}: {} at row {}, column {}, expected finite values", tensor,
                  found->nan ? "NaN" : "an infinity", row_begin + found->row, found->col)
      .hint("the file is damaged, or the training that made it diverged.");
}

}  // namespace halftone
