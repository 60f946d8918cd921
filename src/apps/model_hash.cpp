// Pieces are looked at while the processor's caches have them. What is found there may be of a
// tensor that the model does not use (an attention mask with infinities), and a piece knows no
// rows: only then the model's tensors are read once more, one after another.
#include "apps/model_hash.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/progress.h"
#include "io/safetensors.h"
#include "model/finite.h"
#include "tensor/allocator.h"

namespace halftone {
namespace {

// Of types that are no floating-point ones, and where an address does not allow loads: true.
bool all_finite(std::string_view type, std::span<const std::byte> piece) {
  const auto dtype = dtype_of_safetensors(type);  // of GGUF the same names
  if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) return true;
  const size_t size = size_of(*dtype);
  if (reinterpret_cast<uintptr_t>(piece.data()) % size != 0) return true;
  const auto count = static_cast<int64_t>(piece.size() / size);
  return !find_not_finite(ConstView{piece.data(), 1, count, count, *dtype});
}

// Throws for the first value of a dense tensor that is no number.
void check_values(const ModelTensors& tensors, const TensorKey& key) {
  const StoredTensor& stored = tensors.stored(key);
  if (stored.quantized) return;
  constexpr int64_t kValuesAtOnce = int64_t{1} << 22;
  HostAllocator host;
  const int64_t rows = std::max<int64_t>(1, kValuesAtOnce / std::max<int64_t>(1, stored.cols));
  for (int64_t row = 0; row < stored.rows; row += rows) {
    const int64_t end = std::min(row + rows, stored.rows);
    const Tensor values(host, end - row, stored.cols, DType::f32);
    tensors.read(key, row, end, values);
  }
}

// `progress` (may be null) counts bytes.
std::string hash_and_look(const OpenedModel& model, ThreadPool& threads, Progress* progress) {
  std::atomic<bool> finite = true;
  double done = 0;
  std::mutex mutex;
  std::string hash = model.checkpoint->fingerprint(
      threads, [&](const ContainerEntry& entry, std::span<const std::byte> piece) {
        if (finite && !all_finite(entry.type, piece)) finite = false;
        if (!progress) return;
        const std::lock_guard lock(mutex);
        progress->update(done += static_cast<double>(piece.size()), entry.name);
      });
  if (finite) return hash;
  for (const TensorKey& key : model.tensors->keys())
    if (key.role != Role::embed || model.config().tied_embeddings)
      check_values(*model.tensors, key);
  return hash;
}

}  // namespace

ModelHash::ModelHash(const OpenedModel& model, Backend& backend, bool quiet, Profile* profile) {
  if (!backend.runs_beside_host()) {
    const ProfileScope scope(profile, "fingerprint");
    Progress progress("Reading weights", static_cast<double>(model.checkpoint->file_bytes()),
                      quiet);
    std::promise<std::string> made;
    made.set_value(hash_and_look(model, backend.host_threads(), &progress));
    progress.finish();
    hash_ = made.get_future();
    return;
  }
  const int threads = std::max(1, backend.host_threads().size() / 2);
  hash_ = std::async(std::launch::async, [&model, threads] {
    ThreadPool pool(threads);
    return hash_and_look(model, pool, nullptr);
  });
}

}  // namespace halftone
