// Kernels over one row: conversion, norms, rotary embedding, activations, sums for the scores.
inline Vec load(Source x, int64_t i, int count) {
  switch (x.dtype) {
    case DType::f32:
      return load(static_cast<const float*>(x.data) + i, count);
    case DType::bf16:
      return load(static_cast<const bf16*>(x.data) + i, count);
    default:
      return load(static_cast<const f16*>(x.data) + i, count);
  }
}

inline void store(Vec a, Target y, int64_t i, int count) {
  switch (y.dtype) {
    case DType::f32:
      return store(a, static_cast<float*>(y.data) + i, count);
    case DType::bf16:
      return store(a, static_cast<bf16*>(y.data) + i, count);
    default:
      return store(a, static_cast<f16*>(y.data) + i, count);
  }
}

// Calls body(i, lanes) for each vector of [0, count), the last one with what is left.
template <class Body>
inline void for_vectors(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + Vec::kWidth <= count; i += Vec::kWidth) body(i, Vec::kWidth);
  if (i < count) body(i, static_cast<int>(count - i));
}

// x_i in the lanes that are there, `fill` in the others.
inline Vec load_filled(const float* x, int64_t i, int lanes, float fill) {
  if (lanes == Vec::kWidth) return load(x + i);
  float padded[Vec::kWidth];
  for (int lane = 0; lane < Vec::kWidth; ++lane) padded[lane] = lane < lanes ? x[i + lane] : fill;
  return load(padded);
}

void convert(Source x, Target y, int64_t count) {
  for_vectors(count, [&](int64_t i, int lanes) { store(load(x, i, lanes), y, i, lanes); });
}

void scale(Source x, float factor, Target y, int64_t count) {
  for_vectors(count, [&](int64_t i, int lanes) {
    store(load(x, i, lanes) * broadcast(factor), y, i, lanes);
  });
}

void add(Source a, Source b, Target y, int64_t count) {
  for_vectors(count, [&](int64_t i, int lanes) {
    store(load(a, i, lanes) + load(b, i, lanes), y, i, lanes);
  });
}

void softcap(Target x, float cap, int64_t count) {
  const Source from{x.data, x.dtype};
  for_vectors(count, [&](int64_t i, int lanes) {
    store(broadcast(cap) * tanh_of(load(from, i, lanes) / broadcast(cap)), x, i, lanes);
  });
}

inline Vec sigmoid(Vec x) {
  return broadcast(1.0f) / (broadcast(1.0f) + exp_of(broadcast(0.0f) - x));
}

template <class Activate>
inline void gate_row(Source gate, Source up, Target y, int64_t count, Activate activate) {
  for_vectors(count, [&](int64_t i, int lanes) {
    store(activate(load(gate, i, lanes)) * load(up, i, lanes), y, i, lanes);
  });
}

void gated_activation(Source gate, Source up, Activation act, Target y, int64_t count) {
  switch (act) {
    case Activation::silu:
      return gate_row(gate, up, y, count, [](Vec x) { return x * sigmoid(x); });
    case Activation::gelu_tanh:
      // ½ (1 + tanh u) = sigmoid(2u), u = √(2/π) (x + 0.044715 x³).
      return gate_row(gate, up, y, count, [](Vec x) {
        const Vec cubic = fma(x * x, x * broadcast(0.044715f), x);
        return x * sigmoid(broadcast(1.59576912f) * cubic);
      });
    case Activation::gelu:
      return gate_row(gate, up, y, count, [](Vec x) {
        return broadcast(0.5f) * x * erfc_of(x * broadcast(-0.707106781f));
      });
  }
}

void norm(Source x, Source gain, const NormSpec& spec, Target y, int64_t count) {
  const float size = static_cast<float>(count);
  DoubleSum total, squares;
  float mean = 0;
  if (spec.kind == NormKind::layer) {
    for_vectors(count, [&](int64_t i, int lanes) { total.add(load(x, i, lanes)); });
    mean = static_cast<float>(total.total() / static_cast<double>(count));
  }
  for_vectors(count, [&](int64_t i, int lanes) {
    const Vec centred = load(x, i, lanes) - broadcast(mean);
    squares.add(centred * centred);
  });
  // The lanes beyond a row's end held −mean.
  const int64_t missing = (Vec::kWidth - count % Vec::kWidth) % Vec::kWidth;
  const double surplus = static_cast<double>(missing) * static_cast<double>(mean * mean);
  const double variance = (squares.total() - surplus) / static_cast<double>(size);
  const double divisor = __builtin_sqrt(variance + static_cast<double>(spec.epsilon));
  const auto factor = static_cast<float>(1 / (spec.weighed ? __builtin_sqrt(divisor) : divisor));
  for_vectors(count, [&](int64_t i, int lanes) {
    const Vec normed = (load(x, i, lanes) - broadcast(mean)) * broadcast(factor);
    store(normed * (load(gain, i, lanes) + broadcast(spec.gain_offset)), y, i, lanes);
  });
}

void angles(float position, std::span<const float> frequencies, float magnitude, float* cosine,
            float* sine) {
  const Source from{frequencies.data(), DType::f32};
  for_vectors(static_cast<int64_t>(frequencies.size()), [&](int64_t i, int lanes) {
    Vec s, c;
    sine_cosine_of(load(from, i, lanes) * broadcast(position), &s, &c);
    store(s * broadcast(magnitude), sine + i, lanes);
    store(c * broadcast(magnitude), cosine + i, lanes);
  });
}

void rotate(Source x, const Rotation& rotation, Target y) {
  const int64_t half = rotation.half;
  for_vectors(half, [&](int64_t i, int lanes) {
    const Vec a = load(x, i, lanes), b = load(x, i + half, lanes);
    const Vec c = load(rotation.cosine + i, lanes), s = load(rotation.sine + i, lanes);
    store(a * c - b * s, y, i, lanes);
    store(fma(a, s, b * c), y, i + half, lanes);
  });
}

// A block's place is kept with its maximum, so that only one block is searched for the index.
Largest largest(const float* x, int64_t count) {
  constexpr int64_t kBlock = 1024;
  Largest best{-__builtin_inff(), 0};
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = count - begin < kBlock ? count - begin : kBlock;
    Vec most = broadcast(-__builtin_inff());
    for_vectors(size, [&](int64_t i, int lanes) {
      most = maximum(most, load_filled(x + begin, i, lanes, -__builtin_inff()));
    });
    const float value = largest_of(most);
    if (value > best.value) best = {value, begin};
  }
  while (best.index + 1 < count && x[best.index] != best.value) ++best.index;
  return best;
}

double sum_exp(const float* x, float shift, int64_t count) {
  DoubleSum sum;
  for_vectors(count, [&](int64_t i, int lanes) {
    sum.add(exp_of(load_filled(x, i, lanes, -__builtin_inff()) - broadcast(shift)));
  });
  return sum.total();
}

DivergenceSums divergence(const float* x, float x_shift, const float* base, float base_shift,
                          int64_t count) {
  DoubleSum model_sum, base_sum, weighted;
  const Vec zero = broadcast(0.0f);
  for_vectors(count, [&](int64_t i, int lanes) {
    const Vec of_model = load_filled(x, i, lanes, -__builtin_inff()) - broadcast(x_shift);
    const Vec of_base = load_filled(base, i, lanes, -__builtin_inff()) - broadcast(base_shift);
    const Vec weight = exp_of(of_base);
    model_sum.add(exp_of(of_model));
    base_sum.add(weight);
    // p log p is 0 at p = 0, whatever the other says.
    weighted.add(select_less(zero, weight, weight * (of_base - of_model), zero));
  });
  return {model_sum.total(), base_sum.total(), weighted.total()};
}
