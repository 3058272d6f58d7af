#include "engine/runtime/worker_pool.h"

namespace weir {

WorkerPool::WorkerPool(int workers) {
  try {
    for (int i = 1; i < workers; ++i) threads_.emplace_back([this, i] { Loop(i); });
  } catch (...) {
    Stop();  // a thread too many: those that there are must not be left alone
    throw;
  }
}

WorkerPool::~WorkerPool() { Stop(); }

void WorkerPool::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Run(const std::function<void(int)>& task) {
  if (!threads_.empty()) {
    const std::lock_guard lock(mutex_);
    task_ = &task;
    running_ = static_cast<int>(threads_.size());
    ++round_;
    start_.notify_all();
  }
  task(0);
  if (!threads_.empty()) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
  }
}

void WorkerPool::Loop(int worker) {
  for (uint64_t seen = 0;;) {
    const std::function<void(int)>* task;
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
      task = task_;
    }
    (*task)(worker);
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) done_.notify_one();
  }
}

}  // namespace weir
