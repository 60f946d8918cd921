// Reference backend: RMS norm (Zhang and Sennrich, arXiv 1910.07467), layer norm without bias, and
// rotary position embedding (Su et al., arXiv 2104.09864).
#include <cassert>
#include <cmath>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {

void RefBackend::norm(ConstView x, ConstView gain, const NormSpec& spec, View y) {
  assert(x.rows == y.rows && x.cols == y.cols && gain.cols == x.cols);
  const double count = static_cast<double>(x.cols);
  for (int64_t row = 0; row < x.rows; ++row) {
    std::vector<float> values = load_row(x, row);
    double mean = 0;
    if (spec.kind == NormKind::layer) {
      for (float value : values) mean += value;
      mean /= count;
    }
    double squares = 0;
    for (float value : values) squares += (value - mean) * (value - mean);
    const double divisor = std::sqrt(squares / count + spec.epsilon);
    const double scale = 1 / (spec.weighed ? std::sqrt(divisor) : divisor);
    for (int64_t col = 0; col < x.cols; ++col) {
      const double normed = (values[static_cast<size_t>(col)] - mean) * scale;
      store(y, row, col, static_cast<float>(normed * (load(gain, 0, col) + spec.gain_offset)));
    }
  }
}

void RefBackend::rope(ConstView x, std::span<const int32_t> positions, ConstView frequencies,
                      const RopeSpec& spec, View y) {
  const int64_t head_dim = spec.head_dim, half = frequencies.cols;
  assert(x.cols == spec.heads * head_dim && y.cols == x.cols && y.rows == x.rows);
  assert(static_cast<int64_t>(positions.size()) == x.rows && 2 * half <= head_dim);
  for (int64_t row = 0; row < x.rows; ++row) {
    std::vector<float> values = load_row(x, row);
    for (int64_t head = 0; head < spec.heads; ++head) {
      float* head_values = values.data() + head * head_dim;
      for (int64_t i = 0; i < half; ++i) {
        // The angle is rounded to f32 as in the models' own code: at position 2,000 that moves it
        // by up to 6e-5.
        const float position = static_cast<float>(positions[static_cast<size_t>(row)]);
        const float angle = position * load(frequencies, 0, i);
        const double cosine = std::cos(static_cast<double>(angle)) * spec.magnitude;
        const double sine = std::sin(static_cast<double>(angle)) * spec.magnitude;
        const double a = head_values[i], b = head_values[i + half];
        head_values[i] = static_cast<float>(a * cosine - b * sine);
        head_values[i + half] = static_cast<float>(b * cosine + a * sine);
      }
    }
    store_row(y, row, values);
  }
}

}  // namespace halftone::ref
