// engine/runtime/commit_queue.h: hands commits to the sinks on a thread of their own, one ahead of the engine.
#ifndef WEIR_ENGINE_RUNTIME_COMMIT_QUEUE_H_
#define WEIR_ENGINE_RUNTIME_COMMIT_QUEUE_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "engine/sink/sink.h"

namespace weir {

// While a commit is written, the engine works on the next batch; when two wait, the engine waits (backpressure).
// Sinks are called in the order given, all on the queue's thread. After an error nothing more is written.
class CommitQueue {
 public:
  // `sinks` outlive the queue.
  explicit CommitQueue(std::vector<Sink*> sinks);
  ~CommitQueue();

  // Takes the commit over. Returns the first error that any commit met so far.
  absl::Status Push(std::unique_ptr<Commit> commit);
  // Waits until all is written.
  absl::Status Drain();
  // Commits written since last asked, oldest first; the engine's memory again. Thread: the engine's.
  std::vector<std::unique_ptr<Commit>> TakeWritten();

 private:
  static constexpr size_t kAhead = 2;  // one being written, one waiting

  static absl::Status Write(Sink& sink, const Commit& commit);
  void Loop();

  const std::vector<Sink*> sinks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Commit>> waiting_, written_;  // guarded by mutex_, as all below
  bool writing_ = false;
  bool stop_ = false;
  absl::Status status_;
  std::thread thread_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_RUNTIME_COMMIT_QUEUE_H_
