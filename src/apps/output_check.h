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
#include "model/forward.h"

namespace halftone {

class OutputCheck {
 public:
  // `weights` write `directory`; both, and `backend`, outlive it.
  OutputCheck(Backend& backend, const OutputStream& weights, std::string directory,
              std::vector<int32_t> ids, DType compute);

  // Before a stage of the calibration: sends for a layer that was written and compared, or runs the
  // one that was sent for. Where the host computes, nothing is gained before the end.
  void beside(const StageId& stage);
  // Opens the directory again, runs what is left, and looks at the logits. Throws Error(bad_input)
  // when they are not finite.
  void finish();

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
