// engine/runtime/worker_pool.h: the threads that parse and fold.
#ifndef WEIR_ENGINE_RUNTIME_WORKER_POOL_H_
#define WEIR_ENGINE_RUNTIME_WORKER_POOL_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace weir {

// A fixed team; the caller's thread is worker 0, so that a team of one has no thread of its own.
class WorkerPool {
 public:
  explicit WorkerPool(int workers);  // >= 1
  ~WorkerPool();

  int size() const { return static_cast<int>(threads_.size()) + 1; }
  // Runs task(worker) once on every worker, and returns when all have finished. `task` must not throw.
  void Run(const std::function<void(int worker)>& task);

 private:
  void Loop(int worker);
  void Stop();

  std::mutex mutex_;
  std::condition_variable start_, done_;
  const std::function<void(int)>* task_ = nullptr;  // guarded by mutex_, as all below
  uint64_t round_ = 0;
  int running_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_RUNTIME_WORKER_POOL_H_
