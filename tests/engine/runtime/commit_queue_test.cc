#include "engine/runtime/commit_queue.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

// A sink that notes what it is given, can be held, and fails the n-th commit.
class FakeSink final : public Sink {
 public:
  explicit FakeSink(std::vector<std::string>* log, std::string name, int fail_at = 0)
      : log_(log), name_(std::move(name)), fail_at_(fail_at) {}
  absl::Status Write(const Commit& commit) override {
    std::unique_lock lock(mutex_);
    ++entered_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    if (++calls_ == fail_at_) return absl::UnknownError("the disk failed");
    log_->push_back(name_ + std::to_string(commit.job_watermark_ms) + ":" + std::to_string(commit.windows.size()));
    thread_ = std::this_thread::get_id();
    return absl::OkStatus();
  }
  void Hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  void WaitUntilEntered(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= count; });
  }
  std::thread::id thread() const { return thread_; }
  int calls() const { return calls_; }

 private:
  std::vector<std::string>* const log_;  // written on the queue's thread, read after Drain
  const std::string name_;
  const int fail_at_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int entered_ = 0, calls_ = 0;
  std::thread::id thread_;
};

std::unique_ptr<Commit> Numbered(int64_t number) {
  auto commit = std::make_unique<Commit>();
  commit->job_watermark_ms = number;
  commit->windows.resize(1);
  commit->state.resize(1);
  return commit;
}

TEST(CommitQueueTest, CommitsAreWrittenInOrderToEverySinkInOrder) {
  std::vector<std::string> log;
  FakeSink file(&log, "file"), out(&log, "out");
  CommitQueue queue({&file, &out});
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(queue.Push(Numbered(i)).ok());
  ASSERT_TRUE(queue.Drain().ok());
  EXPECT_EQ(log, (std::vector<std::string>{"file1:1", "out1:1", "file2:1", "out2:1", "file3:1", "out3:1"}));
  EXPECT_EQ(file.thread(), out.thread());
  EXPECT_NE(file.thread(), std::this_thread::get_id());
}

// Rows and blobs may be large: once written they go, while positions stay for Source::Committed.
TEST(CommitQueueTest, WrittenCommitsComeBackWithoutTheirBulk) {
  std::vector<std::string> log;
  FakeSink sink(&log, "s");
  CommitQueue queue({&sink});
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(queue.Push(Numbered(i)).ok());
  ASSERT_TRUE(queue.Drain().ok());
  const auto written = queue.TakeWritten();
  ASSERT_EQ(written.size(), 5u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(written[static_cast<size_t>(i)]->job_watermark_ms, i + 1);
    EXPECT_TRUE(written[static_cast<size_t>(i)]->windows.empty());
    EXPECT_TRUE(written[static_cast<size_t>(i)]->state.empty());
  }
  EXPECT_TRUE(queue.TakeWritten().empty());
}

// Backpressure: one is being written, one waits; a third Push does not return before there is room.
TEST(CommitQueueTest, AThirdCommitWaits) {
  std::vector<std::string> log;
  FakeSink sink(&log, "s");
  CommitQueue queue({&sink});
  sink.Hold(true);
  ASSERT_TRUE(queue.Push(Numbered(1)).ok());
  sink.WaitUntilEntered(1);
  ASSERT_TRUE(queue.Push(Numbered(2)).ok());
  std::atomic<bool> pushed{false};
  std::thread third([&] {
    EXPECT_TRUE(queue.Push(Numbered(3)).ok());
    pushed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(pushed.load());
  EXPECT_TRUE(queue.TakeWritten().empty()) << "nothing counts as written before the sinks say so";
  sink.Hold(false);
  third.join();
  EXPECT_TRUE(queue.Drain().ok());
  EXPECT_EQ(log.size(), 3u);
}

TEST(CommitQueueTest, AfterAnErrorNothingMoreIsWritten) {
  std::vector<std::string> log;
  FakeSink file(&log, "file", /*fail_at=*/2), out(&log, "out");
  CommitQueue queue({&file, &out});
  ASSERT_TRUE(queue.Push(Numbered(1)).ok());
  ASSERT_TRUE(queue.Drain().ok());
  ASSERT_TRUE(queue.Push(Numbered(2)).ok());
  EXPECT_EQ(queue.Drain().message(), "the disk failed");
  EXPECT_EQ(queue.Push(Numbered(3)).message(), "the disk failed");
  EXPECT_EQ(queue.Drain().message(), "the disk failed");
  EXPECT_EQ(log, (std::vector<std::string>{"file1:1", "out1:1"})) << "nor to the sinks behind the one that failed";
  EXPECT_EQ(queue.TakeWritten().size(), 1u);
}

TEST(CommitQueueTest, AnErrorFreesAnEngineThatWaits) {
  std::vector<std::string> log;
  FakeSink sink(&log, "s", /*fail_at=*/1);
  CommitQueue queue({&sink});
  sink.Hold(true);
  ASSERT_TRUE(queue.Push(Numbered(1)).ok());
  sink.WaitUntilEntered(1);
  ASSERT_TRUE(queue.Push(Numbered(2)).ok());
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    sink.Hold(false);
  });
  EXPECT_EQ(queue.Push(Numbered(3)).message(), "the disk failed");
  later.join();
  EXPECT_TRUE(log.empty());
}

TEST(CommitQueueTest, WhatASinkThrowsIsAnError) {
  class OutOfMemory final : public Sink {
   public:
    absl::Status Write(const Commit&) override { throw std::bad_alloc(); }
  } sink;
  CommitQueue queue({&sink});
  ASSERT_TRUE(queue.Push(Numbered(1)).ok());
  const absl::Status status = queue.Drain();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_NE(std::string(status.message()).find("out of memory"), std::string::npos) << status;
  EXPECT_TRUE(queue.TakeWritten().empty());
}

TEST(CommitQueueTest, AnUnusedQueueEndsAndAQueueWithoutSinksWrites) {
  CommitQueue unused({});
  CommitQueue none({});
  ASSERT_TRUE(none.Push(Numbered(1)).ok());
  EXPECT_TRUE(none.Drain().ok());
  EXPECT_EQ(none.TakeWritten().size(), 1u);
}

}  // namespace
}  // namespace weir
