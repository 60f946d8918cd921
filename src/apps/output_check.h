// A forward over the output, a layer at a time as layers are written, so that little is left to be
// done when the last one is: the network that was written must give finite logits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "apps/open_model.h"
#include "apps/output_stream.h"
#include "base/profile.h"
#include "model/forward.h"

namespace halftone {

class OutputCheck {
 public:
  // `weights` write `directory`; both, and `backend`, outlive it.
  OutputCheck(Backend& backend, const OutputStream& weights, std::string directory,
              std::vector<int32_t> ids, DType compute);

  // Beside the longest pass over the windows, when the widest Hessian is filled: sends for a layer
  // that was written and compared, and, when that stage is about to be solved, runs it. Where the
  // host computes, nothing is gained before the end.
  void beside(const StageId& stage, bool solving);
  // Opens the directory again, runs what is left, and looks at the logits. Throws Error(bad_input)
  // when they are not finite. `profile` may be null.
  void finish(Profile* profile = nullptr);

 private:
  // A model to run and what it runs with.
  struct Written {
    Written(Backend& backend, const std::string& directory, DType compute);
    OpenedModel model;
    std::unique_ptr<WeightProvider> weights;
    Forward forward;
  };
  void run_next(Written& written);
  void check_logits(Written& written);

  Backend& backend_;
  const OutputStream& weights_;
  const std::string directory_;
  const DType compute_;
  const Batch batch_;
  std::unique_ptr<Written> written_;
  Tensor residual_;  // (tokens, hidden), behind the layers that were run
  int next_ = 0;     // layer
  bool sent_for_ = false;
};

}  // namespace halftone
