// Keeps finished stages in the journal on a thread of its own, and hands them on, while the next
// stage runs: reading codes back, packing, hashing and the disk take longer than a GPU takes to
// solve.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "apps/stage_record.h"
#include "io/journal.h"
#include "quant/device_matrix.h"

namespace halftone {

// A stage as it was solved: `matrices` are the record's, in its order, and still on the device. Or,
// when there are none, as the journal held it.
struct SolvedStage {
  StageRecord record;
  std::vector<DeviceMatrix> matrices;
};

class StageSaver {
 public:
  // `on_kept` (may be empty) gets every stage with its matrices, on the thread. All outlive it.
  StageSaver(Backend& backend, Journal& journal, std::function<void(StageRecord)> on_kept);
  // Saves what it was given; an error is lost here: see finish().
  ~StageSaver();
  StageSaver(const StageSaver&) = delete;
  StageSaver& operator=(const StageSaver&) = delete;

  // In the order of the calls. Waits while the stage before is being saved, so that at most two are
  // in memory; on a device that computes beside the host while one is waiting beside that one.
  // Throws what saving an earlier one threw.
  void save(SolvedStage stage);
  // Waits until everything is in the journal; throws what saving threw.
  void finish();
  // That saving took so far, on its own thread. After finish().
  double seconds() const { return seconds_; }

 private:
  void work();
  void keep(SolvedStage stage, Event ready);
  // Until no more than so many stages are here.
  void wait_for(size_t stages, std::unique_lock<std::mutex>& lock);

  Backend& backend_;
  Journal& journal_;
  const std::function<void(StageRecord)> on_kept_;
  std::mutex mutex_;
  std::condition_variable changed_;
  struct Waiting {
    SolvedStage stage;
    Event ready = 0;  // in the compute queue: its matrices are there
  };
  std::deque<Waiting> waiting_;
  bool busy_ = false, stopping_ = false;
  double seconds_ = 0;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace halftone
