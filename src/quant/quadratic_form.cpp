// Products with L block by block, and their squares weighted with D: docs/methods.md §6.
#include "quant/quadratic_form.h"

#include <algorithm>

namespace halftone {

QuadraticForms::QuadraticForms(Backend& backend, const Factor& factor, int64_t forms)
    : backend_(backend), factor_(factor), sums_(backend.allocate(forms, kColumns, DType::f64)) {
  backend_.fill(sums_, 0);
}

View QuadraticForms::sum(int64_t form, Column column) const {
  return sums_.view().rows_of(form, form + 1).cols_of(column, column + 1);
}

void QuadraticForms::add_squares(int64_t form, ConstView m) {
  backend_.add_squares(m, {}, sum(form, kSquares));
}

void QuadraticForms::add_product(int64_t form, ConstView product) {
  backend_.add_squares(product, factor_.pivots, sum(form, kProduct));
}

void QuadraticForms::add(int64_t form, ConstView m, View scratch) {
  backend_.copy(m, scratch);
  const ConstView lower = factor_.lower, blocks = factor_.blocks;
  // Where they cost much, products of 11 bits: a loss is told with three digits.
  const Products products = m.cols <= Factor::kExactInputs ? Products::full : Products::coarse;
  for (int64_t begin = 0; begin < m.cols; begin += Factor::kBlock) {
    const int64_t end = std::min(m.cols, begin + Factor::kBlock);
    const ConstView columns = m.cols_of(begin, end);
    backend_.multiply_add(columns, blocks.rows_of(begin, end).cols_of(0, end - begin),
                          scratch.cols_of(begin, end), products);
    if (begin > 0)
      backend_.multiply_add(columns, lower.rows_of(begin, end).cols_of(0, begin),
                            scratch.cols_of(0, begin), products);
  }
  add_squares(form, m);
  add_product(form, scratch);
}

std::vector<double> QuadraticForms::read() const {
  const int64_t forms = sums_.rows();
  const Tensor sums(backend_.host_allocator(), forms, kColumns, DType::f64);
  backend_.download(sums_, sums);
  std::vector<double> values;
  for (int64_t i = 0; i < forms; ++i) {
    const double form =
        sums.row<double>(i)[kProduct] - factor_.lambda * sums.row<double>(i)[kSquares];
    values.push_back(form < 0 ? 0 : form);
  }
  return values;
}

LayerError layer_error(Backend& backend, ConstView weight, const CodeView& quantized,
                       const Factor& factor) {
  constexpr int64_t kPanelRows = 1024;  // rows do not depend on each other: this bounds the memory
  const int64_t rows = weight.rows, cols = weight.cols, most = std::min(rows, kPanelRows);
  const int64_t panels = (rows + kPanelRows - 1) / kPanelRows;
  const Tensor original = backend.allocate(most, cols, DType::f32);
  const Tensor factored = backend.allocate(most, cols, DType::f32);
  QuadraticForms forms(backend, factor, 2 * panels);
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t begin = panel * kPanelRows, end = std::min(rows, begin + kPanelRows);
    const ConstView w = weight.rows_of(begin, end);
    const View o = original.view().rows_of(0, end - begin);
    const View f = factored.view().rows_of(0, end - begin);
    gather_factored(backend, factor, w, f);
    forms.add(2 * panel, f, o);
    const CodeView codes{quantized.codes.rows_of(begin, end), quantized.scales.rows_of(begin, end),
                         quantized.zeros.rows_of(begin, end), quantized.group_of, quantized.table};
    backend.code_errors(w, codes, o);
    gather_factored(backend, factor, o, f);
    forms.add(2 * panel + 1, f, o);
  }
  const std::vector<double> values = forms.read();
  LayerError sum;
  for (size_t i = 0; i < values.size(); i += 2) {
    sum.energy += values[i];
    sum.error += values[i + 1];
  }
  return sum;
}

}  // namespace halftone
