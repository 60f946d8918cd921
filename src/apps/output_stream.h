// The weights of an output, as they come: packed, written, read back from the written files
// and compared, while the layers that follow are quantized.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "apps/gguf_contents.h"
#include "apps/plan.h"
#include "apps/stage_record.h"
#include "backend/backend.h"
#include "format/model_writer.h"
#include "format/open_weights.h"

namespace halftone {

struct OutputStreamInput {
  const OpenedModel& model;
  const Plan& plan;
  int64_t max_shard_bytes = 0;  // 0: the format's own
  Backend& backend;             // a device leaves threads of its host for this
};

class OutputStream {
 public:
  // `directory` exists. Takes the disk space, beside a device on a thread of its own. All arguments
  // outlive it. This or add() throws Error(resources) on a full disk.
  OutputStream(const OutputStreamInput& input, std::string directory);
  ~OutputStream();
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;

  // Takes a stage with its matrices. Where the device computes beside the host, threads do the rest
  // and this waits only for room; else it is done on return. Throws what an earlier one threw:
  // Error(bug) when something is read back that was not written.
  void add(StageRecord stage);
  // Writes what waits for no codes now, unless threads do it: else the first stage would.
  void write_rest_here();
  // Waits until all is written and compared, syncs. Returns the bytes of the weight files. Throws
  // Error(bug) when a module of the plan was not compared.
  int64_t finish();
  // Leading layers that are written whole, dense tensors too, and compared. From any thread.
  int layers_compared() const;
  // That packing, writing and comparing took, of all threads. After finish().
  double seconds() const { return seconds_; }
  // How long finish() waited for tables and dense tensors alone.
  double seconds_behind() const { return seconds_behind_; }

  // Of the host's memory at a time, when stages have so many bytes of codes and scales at most.
  static int64_t bytes_held(Backend& backend, int64_t codes);
  // And for the widest table that is rounded and read back.
  static int64_t table_bytes(const Plan& plan);

 private:
  // That a backend leaves for this; 0: the caller's own.
  static int threads_beside(Backend& backend);
  // Where a linear counts: the head behind all layers.
  int place_of(const TensorKey& key) const;

  using Linears = std::vector<FinishedLinear>;
  void enqueue(Linears linears);
  void attempt(const std::function<void()>& task);
  void open();
  void work();
  void process(const Linears& linears);
  void compare(const std::string& name, const QuantizedMatrix& expected) const;
  void write_rest();

  const OutputStreamInput input_;
  const std::string directory_;
  const GgufContents gguf_;  // of a GGUF
  std::unique_ptr<ModelWriter> writer_;
  // The directory, opened once: each module is looked at when it was written.
  std::unique_ptr<Checkpoint> written_;
  std::unique_ptr<LinearReader> reader_;

  mutable std::mutex mutex_;  // of all that follows
  std::condition_variable changed_;
  std::deque<Linears> waiting_;
  int64_t weights_held_ = 0, most_weights_ = 0;
  std::map<int, int64_t> to_compare_;  // modules of each layer, and of the head
  bool opened_ = false;                // writer_ and reader_ are there
  bool rest_written_ = false;          // all that waits for no codes
  bool stopping_ = false;
  double seconds_ = 0, seconds_behind_ = 0;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace halftone
