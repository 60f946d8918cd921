// Weights are leased: forward asks for {layer, role, expert} and gives the lease back. Whether they are
// resident, mapped, streamed, quantized or sharded is the provider's business.
#pragma once

#include <map>
#include <memory>
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
  ConstView bias;                 // (1, out) f32 on the device, or empty
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
  // A norm's gain (1, n) f32 on the device; empty view when the family or layer has none. Small: kept
  // resident.
  virtual ConstView vector(const TensorKey& key) = 0;
  virtual EmbeddingView embedding(std::span<const int32_t> ids) = 0;

 protected:
  friend class Lease;
  virtual void end_lease(const TensorKey& key) = 0;
};

struct ModelShape;

// Maps a family's names to roles and checks them: every stored tensor claimed, every needed tensor
// there, every shape as the configuration says, every value finite. Throws Error(bad_input).
class ModelTensors {
 public:
  // `source` outlives this.
  ModelTensors(const WeightSource& source, const ModelConfig& config);

  const ModelConfig& config() const { return config_; }
  const ArchSpec& arch() const { return *arch_; }
  const WeightSource& source() const { return source_; }
  bool has(const TensorKey& key) const;
  // What the file holds for the key; throws when absent.
  const StoredTensor& stored(const TensorKey& key) const;
  std::string name(const TensorKey& key) const;           // "model.layers.0.self_attn.q_proj.weight"
  std::pair<int64_t, int64_t> shape(const TensorKey& key) const;   // (rows, cols) by the configuration
  // Every tensor of the model in file order of roles: embed, blocks, final norm, head.
  std::vector<TensorKey> keys() const;
  // Host copy, f32 or bf16 as `out` says. Throws when a value is NaN or infinite.
  void read(const TensorKey& key, View out) const;

 private:
  const WeightSource& source_;
  ModelConfig config_;
  const ArchSpec* arch_;
  std::map<TensorKey, StoredTensor> stored_;
};

struct ProviderOptions {
  DType compute = DType::f32;      // of the linears' products
  bool streamed = false;           // load at lease, drop when the last lease of a layer ends
};
// Weights loaded by `backend`, all at once or as they are leased. `tensors` and `backend` outlive it.
std::unique_ptr<WeightProvider> make_provider(Backend& backend, const ModelTensors& tensors,
                                              const ProviderOptions& options);

}  // namespace halftone
