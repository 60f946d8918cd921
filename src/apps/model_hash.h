// A model's hash, for the journal of a quantization, and whether its weights are numbers: one
// reading of its files tells both, before the first layer or beside it.
#pragma once

#include <future>
#include <string>

#include "apps/open_model.h"
#include "backend/backend.h"
#include "base/profile.h"

namespace halftone {

// It takes as long as the files take to read. A device works meanwhile, with half of its host's
// threads; where the host computes they all hash first.
class ModelHash {
 public:
  // Where the host computes, shows its progress unless `quiet`, and throws what value() throws.
  // `model` outlives this. `profile` may be null.
  ModelHash(const OpenedModel& model, Backend& backend, bool quiet, Profile* profile);
  // Waits for it. Throws Error(bad_input) naming the first tensor, in the model's order, with a
  // value that is NaN or infinite. Not looked at: blocks of a GGUF and packed codes, which would
  // have to be decoded, and f64; and rows of an embedding that is no head, which may be of ids that
  // no text has.
  const std::string& value() const { return hash_.get(); }
  std::shared_future<std::string> future() const { return hash_; }

 private:
  std::shared_future<std::string> hash_;
};

}  // namespace halftone
