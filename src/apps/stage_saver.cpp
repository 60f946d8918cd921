#include "apps/stage_saver.h"

#include <utility>

#include "base/clock.h"

namespace halftone {

StageSaver::StageSaver(Backend& backend, Journal& journal, std::function<void(StageRecord)> on_kept)
    : backend_(backend),
      journal_(journal),
      on_kept_(std::move(on_kept)),
      thread_([this] { work(); }) {}

StageSaver::~StageSaver() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void StageSaver::wait_for(size_t stages, std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [&] { return failure_ || waiting_.size() + (busy_ ? 1 : 0) <= stages; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void StageSaver::save(SolvedStage stage) {
  const Event ready = backend_.record(Queue::compute);
  {
    std::unique_lock lock(mutex_);
    wait_for(backend_.runs_beside_host() ? 1 : 0, lock);
    waiting_.push_back({std::move(stage), ready});
  }
  changed_.notify_all();
}

void StageSaver::finish() {
  std::unique_lock lock(mutex_);
  wait_for(0, lock);
}

void StageSaver::work() {
  for (;;) {
    Waiting next;
    {
      std::unique_lock lock(mutex_);
      busy_ = false;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !waiting_.empty() || stopping_; });
      if (waiting_.empty()) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
      busy_ = true;
    }
    const auto start = Clock::now();
    try {
      keep(std::move(next.stage), next.ready);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
      waiting_.clear();
    }
    seconds_ += seconds_since(start);
  }
}

void StageSaver::keep(SolvedStage stage, Event ready) {
  StageRecord& record = stage.record;
  const bool in_journal = stage.matrices.empty();
  for (size_t i = 0; i < stage.matrices.size(); ++i)
    record.linears[i].matrix = stage.matrices[i].download(backend_, ready);
  stage.matrices.clear();
  // Where the host computes, its threads have better to do.
  ThreadPool* threads = backend_.runs_beside_host() ? &backend_.host_threads() : nullptr;
  if (!in_journal) journal_.append(record_name(record.id), serialize(record, threads));
  if (on_kept_) on_kept_(std::move(record));
}

}  // namespace halftone
