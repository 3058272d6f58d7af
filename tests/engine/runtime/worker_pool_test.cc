#include "engine/runtime/worker_pool.h"

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(WorkerPoolTest, EveryWorkerRunsTheTaskOnce) {
  for (int workers : {1, 2, 7}) {
    WorkerPool pool(workers);
    EXPECT_EQ(pool.size(), workers);
    std::vector<int> runs(static_cast<size_t>(workers));  // one slot a worker: no lock is needed, and TSan looks
    for (int round = 0; round < 300; ++round) pool.Run([&](int w) { ++runs[static_cast<size_t>(w)]; });
    EXPECT_EQ(runs, std::vector<int>(static_cast<size_t>(workers), 300));
  }
}

TEST(WorkerPoolTest, RunReturnsWhenAllHaveFinished) {
  WorkerPool pool(4);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> finished{0};
    pool.Run([&](int w) {
      if (w != 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
      ++finished;
    });
    ASSERT_EQ(finished.load(), 4);
  }
}

// A team of one has no thread of its own: what a worker would need to be told, it already is.
TEST(WorkerPoolTest, WorkerZeroIsTheCaller) {
  for (int workers : {1, 3}) {
    WorkerPool pool(workers);
    std::thread::id zero;
    pool.Run([&](int w) {
      if (w == 0) zero = std::this_thread::get_id();
    });
    EXPECT_EQ(zero, std::this_thread::get_id());
  }
}

// What one round has written, the next sees on whichever thread.
TEST(WorkerPoolTest, RoundsFollowEachOther) {
  WorkerPool pool(3);
  std::vector<int64_t> cells(3, 1);
  for (int round = 0; round < 20; ++round) {
    const int64_t sum = std::accumulate(cells.begin(), cells.end(), int64_t{0});
    pool.Run([&](int w) { cells[static_cast<size_t>(w)] = sum % 1'000'003 + w; });
    for (int w = 0; w < 3; ++w) ASSERT_EQ(cells[static_cast<size_t>(w)], sum % 1'000'003 + w);
  }
}

TEST(WorkerPoolTest, APoolThatNeverRanEnds) { WorkerPool pool(5); }

}  // namespace
}  // namespace weir
