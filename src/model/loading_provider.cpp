// The provider that loads from a file: everything at once, or a layer at a time.
//
// Streamed: a linear is loaded when it is first leased, and dropped when a linear of another layer
// is leased after its last lease has ended, or before that by release_layer(). So one layer is in
// memory, and running the same layer again and again (tiles of logits, micro-batches) loads it
// once. What was announced by prefetch() comes on a thread of its own.
#include <algorithm>
#include <cassert>
#include <future>

#include "base/error.h"
#include "base/interrupt.h"
#include "model/weight_reader.h"

namespace halftone {
namespace {

class LoadingProvider final : public WeightProvider {
 public:
  LoadingProvider(Backend& backend, const ModelTensors& tensors, const ProviderOptions& options);

  Lease linear(const TensorKey& key) override;
  void prefetch(std::span<const TensorKey> keys) override;
  ConstView vector(const TensorKey& key) override;
  EmbeddingView embedding(std::span<const int32_t> ids) override;
  void release_layer(int layer) override;

 protected:
  void end_lease(const TensorKey& key) override { --weights_.at(key).leases; }

 private:
  struct Loaded {
    std::unique_ptr<Weight> weight;
    int leases = 0;
  };
  // Where a linear's weight is stored: a tied head's is the embedding.
  TensorKey source_of(const TensorKey& key) const {
    return key.role == Role::head && !tensors_.has(key) ? TensorKey{.role = Role::embed} : key;
  }
  Loaded& loaded(const TensorKey& key);
  void load_vector(const TensorKey& key);
  void drop_other_layers(int layer);
  EmbeddingView gathered(std::span<const int32_t> ids);

  Backend& backend_;
  const ModelTensors& tensors_;
  const ProviderOptions options_;
  const WeightReader reader_;
  std::map<TensorKey, Loaded> weights_;
  std::map<TensorKey, std::future<std::unique_ptr<Weight>>> coming_;
  std::map<TensorKey, Tensor> vectors_;
  std::optional<ConstView> table_;  // the embedding in the mapped file, where it can be used there
  Tensor gathered_;
  std::future<void> loading_;  // last: what it uses outlives it
};

LoadingProvider::LoadingProvider(Backend& backend, const ModelTensors& tensors,
                                 const ProviderOptions& options)
    : backend_(backend), tensors_(tensors), options_(options), reader_(backend, tensors) {
  size_t done = 0;
  for (const TensorKey& key : tensors_.keys()) {
    throw_if_interrupted();
    if (options_.on_load) options_.on_load(done++, tensors_.keys().size());
    if (key.role == Role::embed) continue;
    const bool product = key.role == Role::head || is_linear(key.role);
    if (key.part == Part::bias || !product)
      load_vector(key);
    else if (!options_.streamed)
      loaded(key);
  }
  const TensorKey head{.role = Role::head};
  if (!options_.streamed && source_of(head).role == Role::embed) loaded(head);

  const bool host_memory = backend_.place() == Place::host;
  const auto mapped = tensors_.mapped({.role = Role::embed});
  if (host_memory && mapped && (mapped->dtype == DType::f32 || mapped->dtype == DType::bf16))
    table_ = mapped;
}

WeightProvider::Lease LoadingProvider::linear(const TensorKey& key) {
  Loaded& entry = loaded(key);
  ++entry.leases;
  TensorKey bias = key;
  bias.part = Part::bias;
  return Lease(this, key, {.weight = entry.weight.get(), .bias = vector(bias)});
}

ConstView LoadingProvider::vector(const TensorKey& key) {
  const auto found = vectors_.find(key);
  return found == vectors_.end() ? ConstView{} : ConstView(found->second);
}

LoadingProvider::Loaded& LoadingProvider::loaded(const TensorKey& key) {
  const auto found = weights_.find(key);
  if (found != weights_.end()) return found->second;
  if (options_.streamed) drop_other_layers(key.layer);
  if (const auto coming = coming_.find(key); coming != coming_.end()) {
    auto arriving = std::move(coming->second);
    coming_.erase(coming);
    return weights_.emplace(key, Loaded{arriving.get()}).first->second;
  }
  return weights_.emplace(key, Loaded{reader_.prepare(source_of(key), options_.compute)})
      .first->second;
}

void LoadingProvider::prefetch(std::span<const TensorKey> keys) {
  if (!options_.streamed || !backend_.runs_beside_host()) return;
  struct Task {
    TensorKey key;
    std::promise<std::unique_ptr<Weight>> weight;
  };
  std::vector<Task> tasks;
  for (const TensorKey& key : keys) {
    if (weights_.contains(key) || coming_.contains(key)) continue;
    tasks.push_back({source_of(key), {}});
    coming_.emplace(key, tasks.back().weight.get_future());
  }
  if (tasks.empty()) return;
  if (loading_.valid()) loading_.get();
  loading_ = std::async(std::launch::async, [this, tasks = std::move(tasks)]() mutable {
    for (Task& task : tasks) {
      try {
        task.weight.set_value(reader_.prepare(task.key, options_.compute));
      } catch (...) {
        task.weight.set_exception(std::current_exception());
      }
    }
  });
}

void LoadingProvider::drop_other_layers(int layer) {
  std::erase_if(weights_, [layer](const auto& entry) {
    return entry.first.layer != layer && entry.second.leases == 0;
  });
}

void LoadingProvider::release_layer(int layer) {
  if (!options_.streamed) return;
  std::erase_if(coming_, [layer](const auto& entry) { return entry.first.layer == layer; });
  std::erase_if(weights_, [layer](const auto& entry) {
    return entry.first.layer == layer && entry.second.leases == 0;
  });
}

void LoadingProvider::load_vector(const TensorKey& key) {
  const auto [rows, cols] = tensors_.shape(key);
  const Tensor values(backend_.host_allocator(), rows, cols, DType::f32);
  tensors_.read(key, values);
  Tensor device = backend_.allocate(rows, cols, DType::f32);
  backend_.upload(values, device);
  vectors_.emplace(key, std::move(device));
}

EmbeddingView LoadingProvider::embedding(std::span<const int32_t> ids) {
  const int64_t vocab = tensors_.config().vocab;
  for (const int32_t id : ids)
    if (id < 0 || id >= vocab)
      throw bad_input("token id {}: expected 0 to {} (vocab_size {})", id, vocab - 1, vocab)
          .hint("tokenizer and weights do not belong together.");
  if (!table_) return gathered(ids);
  const TensorKey key{.role = Role::embed};
  for (const int32_t id : ids) tensors_.check_finite(key, id, table_->rows_of(id, id + 1));
  return {*table_, {ids.begin(), ids.end()}};
}

// The rows that are needed, each once, in a table of their own.
EmbeddingView LoadingProvider::gathered(std::span<const int32_t> ids) {
  std::vector<int32_t> rows(ids.begin(), ids.end());
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  const auto count = static_cast<int64_t>(rows.size());
  const Tensor values(backend_.host_allocator(), count, tensors_.config().hidden, DType::f32);
  backend_.host_threads().parallel_for(count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t id = rows[static_cast<size_t>(i)];
      tensors_.read({.role = Role::embed}, id, id + 1, values.view().rows_of(i, i + 1));
    }
  });
  gathered_ = backend_.allocate(count, values.cols(), DType::f32);
  backend_.upload(values, gathered_);
  EmbeddingView view{gathered_, {}};
  for (const int32_t id : ids)
    view.ids.push_back(
        static_cast<int32_t>(std::lower_bound(rows.begin(), rows.end(), id) - rows.begin()));
  return view;
}

}  // namespace

std::unique_ptr<WeightProvider> make_provider(Backend& backend, const ModelTensors& tensors,
                                              const ProviderOptions& options) {
  return std::make_unique<LoadingProvider>(backend, tensors, options);
}

}  // namespace halftone
