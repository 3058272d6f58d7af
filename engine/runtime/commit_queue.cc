#include "engine/runtime/commit_queue.h"

#include <exception>
#include <new>
#include <string>
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

// A sink that throws, or memory that runs out in one, must not end the process from this thread.
absl::Status CommitQueue::Write(Sink& sink, const Commit& commit) {
  try {
    return sink.Write(commit);
  } catch (const std::bad_alloc&) {
    return absl::InternalError("out of memory while a commit was written. Lower --batch-bytes, --max-memory or the number of keys, or give it "
                               "more memory.");
  } catch (const std::exception& e) {
    return absl::InternalError(std::string("a sink threw: ") + e.what());
  } catch (...) {
    return absl::InternalError("a sink threw something that is no std::exception.");
  }
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
      status = Write(*sink, *commit);
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
