#include "engine/sink/stdout_sink.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

const OperatorColumns kLocations = {"tweets_by_location", "location", "tweets"};

Commit OneWindow(int rows = 1) {
  Commit commit;
  ClosedWindow window = {
      .op = 0, .start_ms = 0, .end_ms = 60'000, .revision = 0, .records = rows, .keys = rows, .rows = {}};
  for (int i = 0; i < rows; ++i) window.rows.Add(fmt::format("k{}", 1'000'000 + i), 1);
  commit.windows.push_back(std::move(window));
  return commit;
}

std::string ExpectedCsv(int rows) {
  std::string text = "window_start,window_end,location,tweets\n";
  for (int i = 0; i < rows; ++i) text += fmt::format("0,60000,k{},1\n", 1'000'000 + i);
  return text;
}

std::string ReadToEnd(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  return text;
}

class StdoutSinkTest : public testing::Test {
 protected:
  StdoutSinkTest() {
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(::pipe(pipe_), 0);
  }
  ~StdoutSinkTest() override {
    CloseEnd(0);
    CloseEnd(1);
  }
  void CloseEnd(int end) {
    if (pipe_[end] >= 0) ::close(std::exchange(pipe_[end], -1));
  }
  static std::unique_ptr<StdoutSink> Open(int fd, bool required = false, RowFormat format = RowFormat::kCsv) {
    auto sink = StdoutSink::Open({kLocations}, {.rows = {.format = format}, .fd = fd, .required = required});
    EXPECT_TRUE(sink.ok()) << sink.status();
    return *std::move(sink);
  }
  int pipe_[2] = {-1, -1};
};

TEST_F(StdoutSinkTest, RowsAreOutWhenWriteReturns) {
  const auto sink = Open(pipe_[1]);
  ASSERT_TRUE(sink->Write(OneWindow(2)).ok());
  char buffer[4096];
  const ssize_t n = ::read(pipe_[0], buffer, sizeof buffer);
  EXPECT_EQ(std::string(buffer, static_cast<size_t>(n)), ExpectedCsv(2));
}

// A table of nothing is still a table: programs that read csv find the header.
TEST_F(StdoutSinkTest, CsvWithoutWindowsHasItsHeader) {
  const auto sink = Open(pipe_[1]);
  ASSERT_TRUE(sink->Write(Commit()).ok());
  ASSERT_TRUE(sink->Close().ok());
  CloseEnd(1);
  EXPECT_EQ(ReadToEnd(pipe_[0]), ExpectedCsv(0));
}

TEST_F(StdoutSinkTest, CsvHeaderIsWrittenOnce) {
  const auto sink = Open(pipe_[1]);
  ASSERT_TRUE(sink->Write(OneWindow()).ok());
  ASSERT_TRUE(sink->Write(OneWindow()).ok());
  ASSERT_TRUE(sink->Close().ok());
  CloseEnd(1);
  EXPECT_EQ(ReadToEnd(pipe_[0]), ExpectedCsv(1) + "0,60000,k1000000,1\n");
}

// A pipe holds 64 KiB: writes come back short (or with EAGAIN), and signals interrupt them. Nothing is lost
// or doubled.
TEST_F(StdoutSinkTest, SlowReadersGetEveryByte) {
  struct sigaction on_alarm = {};
  on_alarm.sa_handler = [](int) {};  // without SA_RESTART: write returns EINTR or short
  struct sigaction before = {};
  ASSERT_EQ(::sigaction(SIGUSR1, &on_alarm, &before), 0);
  for (const bool nonblocking : {false, true}) {
    SCOPED_TRACE(nonblocking);
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    if (nonblocking) {
      ASSERT_EQ(::fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    }
    const pthread_t writer = ::pthread_self();
    std::string text;
    std::thread reader([&] {
      char buffer[3001];
      for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<size_t>(n));
        // Of two signals to a writer that waits, the first makes its write short, the second interrupts the
        // next.
        for (int signals = text.size() < 100'000 ? 2 : 0; signals > 0; --signals) {
          ::usleep(1'000);
          ::pthread_kill(writer, SIGUSR1);
        }
      }
    });
    const auto sink = Open(ends[1]);
    EXPECT_TRUE(sink->Write(OneWindow(100'000)).ok());
    EXPECT_TRUE(sink->Close().ok());
    EXPECT_FALSE(sink->closed());
    ::close(ends[1]);
    reader.join();
    ::close(ends[0]);
    EXPECT_TRUE(text == ExpectedCsv(100'000)) << text.size() << " bytes";
  }
  ::sigaction(SIGUSR1, &before, nullptr);
}

// The rows are in the results file: a reader that went away is worth a line, not the job.
TEST_F(StdoutSinkTest, ReaderGoneIsNoticedOnce) {
  const auto sink = Open(pipe_[1]);
  CloseEnd(0);
  EXPECT_TRUE(sink->Write(OneWindow(100'000)).ok());
  EXPECT_TRUE(sink->closed());
  EXPECT_TRUE(sink->closed_by_reader());
  EXPECT_TRUE(sink->Write(OneWindow()).ok());
  EXPECT_TRUE(sink->Close().ok());
  EXPECT_EQ(sink->TakeNotices(),
            (std::vector<std::string>{
                "the reader of stdout went away; no more rows are printed, the results file is complete."}));
  EXPECT_TRUE(sink->TakeNotices().empty());
}

TEST_F(StdoutSinkTest, ReaderGoneEndsAJobWithoutResultsFileOnce) {
  const auto sink = Open(pipe_[1], /*required=*/true);
  CloseEnd(0);
  EXPECT_EQ(sink->Write(OneWindow()).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(sink->closed_by_reader());
  EXPECT_TRUE(sink->Write(OneWindow()).ok());
  EXPECT_TRUE(sink->Close().ok());
  EXPECT_TRUE(sink->TakeNotices().empty());
}

TEST_F(StdoutSinkTest, FullDiskIsNoticedOrEndsTheJob) {
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "this system has no /dev/full";
  const auto sink = Open(full, false, RowFormat::kJsonl);
  EXPECT_TRUE(sink->Write(OneWindow()).ok());
  EXPECT_TRUE(sink->Write(OneWindow()).ok());
  EXPECT_TRUE(sink->closed());
  EXPECT_FALSE(sink->closed_by_reader());
  const std::vector<std::string> notices = sink->TakeNotices();
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].find("stdout cannot be written: No space left on device"), 0u) << notices[0];

  const auto required = Open(full, true, RowFormat::kJsonl);
  EXPECT_EQ(required->Write(OneWindow()).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(required->Write(OneWindow()).ok());
  ::close(full);
}

TEST_F(StdoutSinkTest, ClosedDescriptorIsAnError) {
  const auto sink = Open(-1, /*required=*/true, RowFormat::kTable);
  EXPECT_TRUE(sink->Write(Commit()).ok());  // nothing to write
  EXPECT_EQ(sink->Write(OneWindow()).code(), absl::StatusCode::kUnknown);
}

TEST_F(StdoutSinkTest, CsvOfSeveralOperatorsIsRefused) {
  const auto sink = StdoutSink::Open({kLocations, {"user_mentions", "user", "mentions"}},
                                     {.rows = {.format = RowFormat::kCsv}});
  EXPECT_EQ(sink.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir
