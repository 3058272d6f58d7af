#include "engine/runtime/commit_queue.h"

#include <utility>

namespace weir {

CommitQueue::CommitQueue(std::vector<Sink*> sinks) : sinks_(std::move(sinks)), thread_([this] { Loop(); }) {}

CommitQueue::~CommitQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status CommitQueue::Push(std::unique_ptr<Commit> commit) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.size() + writing_ < kAhead || !status_.ok(); });
  if (!status_.ok()) return status_;
  waiting_.push_back(std::move(commit));
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status CommitQueue::Drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return (waiting_.empty() && !writing_) || !status_.ok(); });
  return status_;
}

std::vector<std::unique_ptr<Commit>> CommitQueue::TakeWritten() {
  const std::lock_guard lock(mutex_);
  return std::exchange(written_, {});
}

void CommitQueue::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || (!waiting_.empty() && status_.ok()); });
    if (waiting_.empty() || !status_.ok()) return;
    std::unique_ptr<Commit> commit = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    writing_ = true;
    lock.unlock();
    absl::Status status;
    for (Sink* sink : sinks_) {
      status = sink->Write(*commit);
      if (!status.ok()) break;
    }
    // Rows and blobs may be large, and nobody needs them any more.
    commit->windows.clear();
    commit->state.clear();
    lock.lock();
    writing_ = false;
    if (status.ok()) written_.push_back(std::move(commit));
    else status_ = status;
    changed_.notify_all();
  }
}

}  // namespace weir
