#include "apps/stage_saver.h"

#include <chrono>
#include <utility>

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

void StageSaver::wait_until_idle(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return !waiting_ && !busy_; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void StageSaver::save(SolvedStage stage) {
  const Event ready = backend_.record(Queue::compute);
  {
    std::unique_lock lock(mutex_);
    wait_until_idle(lock);
    waiting_ = std::move(stage);
    waiting_for_ = ready;
  }
  changed_.notify_all();
}

void StageSaver::finish() {
  std::unique_lock lock(mutex_);
  wait_until_idle(lock);
}

void StageSaver::work() {
  for (;;) {
    std::optional<SolvedStage> stage;
    Event ready = 0;
    {
      std::unique_lock lock(mutex_);
      busy_ = false;
      changed_.notify_all();
      changed_.wait(lock, [this] { return waiting_ || stopping_; });
      if (!waiting_) return;
      std::swap(stage, waiting_);
      ready = waiting_for_;
      busy_ = true;
    }
    const auto start = std::chrono::steady_clock::now();
    try {
      keep(std::move(*stage), ready);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    seconds_ += spent.count();
  }
}

void StageSaver::keep(SolvedStage stage, Event ready) {
  StageRecord& record = stage.record;
  const bool in_journal = stage.matrices.empty();
  for (size_t i = 0; i < stage.matrices.size(); ++i)
    record.linears[i].matrix = stage.matrices[i].download(backend_, ready);
  stage.matrices.clear();
  if (!in_journal) journal_.append(record_name(record.id), serialize(record));
  if (on_kept_) on_kept_(std::move(record));
}

}  // namespace halftone
