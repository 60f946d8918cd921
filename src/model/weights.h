// Weights are leased: forward asks for {layer, role, expert} and gives the lease back. Whether they
// are resident, mapped, streamed, quantized or sharded is the provider's business.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "model/arch_table.h"
#include "model/config.h"
#include "tensor/role.h"
#include "tensor/weight_source.h"

namespace halftone {

// A linear y = x Wᵀ + b as leased: valid until the lease ends.
struct LinearView {
  const Weight* weight = nullptr;
  ConstView bias;  // (1, out) f32 on the device, or empty
};

// The rows of the embedding table that a batch needs: ids index `table`.
struct EmbeddingView {
  ConstView table;
  std::vector<int32_t> ids;
};

class WeightProvider {
 public:
  virtual ~WeightProvider() = default;
  // Ends a lease when destroyed.
  class Lease {
   public:
    Lease() = default;
    Lease(WeightProvider* owner, TensorKey key, LinearView linear)
        : owner_(owner), key_(key), linear_(linear) {}
    ~Lease();
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    const LinearView& operator*() const { return linear_; }
    const LinearView* operator->() const { return &linear_; }

   private:
    WeightProvider* owner_ = nullptr;
    TensorKey key_;
    LinearView linear_;
  };

  virtual Lease linear(const TensorKey& key) = 0;
  // Says that these linears will be leased soon: where a device computes beside the host, a provider
  // that streams loads them meanwhile, on a thread of its own.
  virtual void prefetch(std::span<const TensorKey> /*keys*/) {}
  // A norm's gain or a linear's bias (Part::bias), (1, n) f32 on the device; an empty view when
  // there is none. Small: kept resident, and had without loading the linear's weight.
  virtual ConstView vector(const TensorKey& key) = 0;
  // Valid until the next call. Throws Error(bad_input) for an id outside the vocabulary.
  virtual EmbeddingView embedding(std::span<const int32_t> ids) = 0;
  // The layer's linears will not be leased soon: a provider that streams drops those that nobody
  // holds.
  virtual void release_layer(int /*layer*/) {}

 protected:
  virtual void end_lease(const TensorKey& key) = 0;
};

// Maps a family's names to roles and checks them: every stored tensor claimed, every needed tensor
// there, every shape as the configuration says, every value that is read finite. Throws
// Error(bad_input). Safe to read from several threads.
//
// Not claimed, and no error: rotary frequencies, what the family's `ignored` names, a head that is
// stored although it is tied to the embedding (which is then the one that counts, as in
// Transformers), and biases that the family does not have where they are all zero (AutoGPTQ writes
// such).
class ModelTensors {
 public:
  // `source` outlives this.
  ModelTensors(const WeightSource& source, const ModelConfig& config);
  // With an entry that is not in the table.
  ModelTensors(const WeightSource& source, const ModelConfig& config, const ArchSpec& arch);

  const ModelConfig& config() const { return config_; }
  const ArchSpec& arch() const { return *arch_; }
  const WeightSource& source() const { return source_; }
  bool has(const TensorKey& key) const { return stored_.contains(key); }
  // What the file holds for the key (of a fused tensor: its share); throws when absent.
  const StoredTensor& stored(const TensorKey& key) const;
  std::string name(const TensorKey& key) const;  // "model.layers.0.self_attn.q_proj.weight"
  std::pair<int64_t, int64_t> shape(
      const TensorKey& key) const;  // (rows, cols) by the configuration
  // Every tensor of the model in file order of roles: embed, blocks, final norm, head. A tied head
  // is not among them.
  std::vector<TensorKey> keys() const;
  // Host copy, f32 or bf16 as `out` says, of the whole tensor or of rows [row_begin, row_end).
  // Throws when a value is NaN or infinite.
  void read(const TensorKey& key, View out) const;
  void read(const TensorKey& key, int64_t row_begin, int64_t row_end, View out) const;
  // The rows where they lie in the mapped file, unchecked; nothing when they are not dense.
  std::optional<ConstView> mapped(const TensorKey& key) const;
  // Throws when a value of `rows`, the tensor's rows from row_begin on, is NaN or infinite.
  void check_finite(const TensorKey& key, int64_t row_begin, ConstView rows) const;

 private:
  struct Claim {
    StoredTensor tensor;
    int64_t row_begin = 0;  // in the file's tensor, when it is fused
  };
  void claim_rule(const TensorRule& rule, const Prefix& prefix);
  void claim_weight(const TensorRule& rule, const TensorKey& key, const std::string& name);
  void claim_bias(const TensorRule& rule, const TensorKey& key, const std::string& name);
  void check_unclaimed(const Prefix& prefix) const;
  const Claim& claim(const TensorKey& key) const;

  const WeightSource& source_;
  ModelConfig config_;
  const ArchSpec* arch_;
  std::map<TensorKey, Claim> stored_;
  std::set<std::string, std::less<>> claimed_;  // names
};

struct ProviderOptions {
  DType compute = DType::f32;  // of the linears' products
  bool streamed = false;       // load at lease, drop when another layer's turn comes
  // Called before each tensor that is loaded at once (may be empty): how many of all are done.
  std::function<void(size_t done, size_t all)> on_load = {};
};
// Weights loaded by `backend`, all at once or as they are leased; embedding rows straight from the
// mapped file where they can be. `tensors` and `backend` outlive it. Not for use from several
// threads.
std::unique_ptr<WeightProvider> make_provider(Backend& backend, const ModelTensors& tensors,
                                              const ProviderOptions& options);

}  // namespace halftone
