#include "engine/runtime/job.h"

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "engine/window/watermark.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

// A log in memory whose records, silence, ends and errors the test controls, also while the job runs.
class FakeSource final : public Source {
 public:
  struct Kind {
    bool bounded = true, may_idle = false, advances = false;
  };
  FakeSource(Kind kind, int partitions) : kind_(kind) {
    for (int i = 0; i < partitions; ++i) AddPartition();
  }

  // ---- The test's side.
  void AddPartition() {
    const std::lock_guard lock(mutex_);
    logs_.emplace_back();
    behind_.push_back(false);
  }
  void Push(size_t partition, const std::vector<std::string>& payloads) {
    const std::lock_guard lock(mutex_);
    for (const std::string& payload : payloads) logs_[partition].push_back({payload, -1});
    changed_.notify_all();
  }
  // Offsets that hold nothing (a log that was compacted).
  void Skip(size_t partition, int64_t offsets) {
    const std::lock_guard lock(mutex_);
    logs_[partition].push_back({"", offsets});
  }
  // The same, lost: declared as a gap.
  void Lose(size_t partition, int64_t offsets, std::string reason) {
    const std::lock_guard lock(mutex_);
    logs_[partition].push_back({std::move(reason), offsets, true});
  }
  // The partition's end has not been reached, whatever has been read.
  void SetBehind(size_t partition, bool behind) {
    const std::lock_guard lock(mutex_);
    behind_[partition] = behind;
  }
  void FailAtPoll(int number, absl::Status status) {
    fail_at_ = number;
    failure_ = std::move(status);
  }
  int64_t committed(size_t partition) {
    const std::lock_guard lock(mutex_);
    return committed_[static_cast<int32_t>(partition)];
  }
  void ThrowAtPoll(int number) { throw_at_ = number; }
  const std::vector<PollLimits>& polls() const { return polls_; }
  size_t chunk_records = 3;  // at most so many at a time

  // ---- The engine's side.
  absl::Status Open(const std::vector<PartitionPosition>& resume) override {
    for (const PartitionPosition& p : resume) resume_[p.partition] = p.next_offset;
    Look();
    return absl::OkStatus();
  }
  absl::Status Poll(const PollLimits& limits, Chunk& chunk) override {
    std::unique_lock lock(mutex_);
    polls_.push_back(limits);
    if (static_cast<int>(polls_.size()) == fail_at_) return failure_;
    if (static_cast<int>(polls_.size()) == throw_at_) throw std::bad_alloc();
    for (;;) {
      Look();
      if (interrupted_ || Take(limits, chunk) || Ended()) break;
      if (changed_.wait_for(lock, absl::ToChronoMilliseconds(std::max(limits.deadline - absl::Now(), absl::ZeroDuration()))) ==
          std::cv_status::timeout)
        break;
    }
    Look();
    return absl::OkStatus();
  }
  const std::deque<PartitionState>& partitions() const override { return states_; }
  bool ended() const override { return kind_.bounded && AllRead(); }
  bool bounded() const override { return kind_.bounded; }
  bool may_idle() const override { return kind_.may_idle; }
  bool advances_when_idle() const override { return kind_.advances; }
  void Interrupt() override {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
  }
  std::vector<DataGap> TakeGaps() override { return std::exchange(gaps_, {}); }
  void Committed(const std::vector<PartitionPosition>& positions) override {
    const std::lock_guard lock(mutex_);
    for (const PartitionPosition& p : positions) committed_[p.partition] = p.next_offset;
  }

 private:
  struct Entry {
    std::string payload;
    int64_t skip;  // < 0: a record
    bool lost = false;
  };
  bool AllRead() const {
    for (size_t i = 0; i < states_.size(); ++i)
      if (!states_[i].ended) return false;
    return true;
  }
  bool Ended() const { return kind_.bounded && AllRead(); }
  // Partitions that have appeared, and how each stands.
  void Look() {
    while (states_.size() < logs_.size()) {
      PartitionState& state = states_.emplace_back();
      state.position.topic = "log";
      state.position.partition = static_cast<int32_t>(states_.size() - 1);
      read_.push_back(0);
      if (const auto at = resume_.find(state.position.partition); at != resume_.end()) state.position.next_offset = at->second;
      // Entries before the position were read by an earlier run.
      for (int64_t offset = 0; offset < state.position.next_offset; ++read_.back())
        offset += std::max<int64_t>(1, logs_[states_.size() - 1][read_.back()].skip);
    }
    for (size_t i = 0; i < states_.size(); ++i) {
      states_[i].caught_up = read_[i] == logs_[i].size() && !behind_[i];
      states_[i].ended = kind_.bounded && states_[i].caught_up;
    }
  }
  bool Take(const PollLimits& limits, Chunk& chunk) {
    for (size_t turn = 0; turn < states_.size(); ++turn) {
      const size_t p = (next_ + turn) % states_.size();
      PartitionPosition& position = states_[p].position;
      while (read_[p] < logs_[p].size() && chunk.records.size() < chunk_records &&
             static_cast<int64_t>(chunk.records.size()) < limits.max_records) {
        const Entry& entry = logs_[p][read_[p]];
        if (!chunk.records.empty() && chunk.size() + entry.payload.size() > limits.max_bytes) break;
        ++read_[p];
        if (entry.skip >= 0) {
          if (entry.lost) gaps_.push_back({static_cast<PartitionIndex>(p), position.next_offset, position.next_offset + entry.skip, entry.payload});
          position.next_offset += entry.skip;
          continue;
        }
        const size_t at = chunk.Append(entry.payload);
        chunk.records.push_back({.begin = at, .size = static_cast<uint32_t>(entry.payload.size()),
                                 .partition = static_cast<PartitionIndex>(p), .offset = position.next_offset++});
      }
      chunk.Reserve(0);
      if (chunk.records.empty()) continue;
      next_ = (p + 1) % states_.size();
      return true;
    }
    return false;
  }

  const Kind kind_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<Entry>> logs_;
  std::vector<bool> behind_;
  std::vector<size_t> read_;
  std::deque<PartitionState> states_;
  std::map<int32_t, int64_t> resume_, committed_;
  std::vector<PollLimits> polls_;
  std::vector<DataGap> gaps_;
  size_t next_ = 0;
  int fail_at_ = -1, throw_at_ = -1;
  absl::Status failure_;
  bool interrupted_ = false;
};

// Everything that was committed, as text and numbers.
struct Committed {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<int64_t, std::string>, int64_t> rows;  // (window end, key) -> value, newest revision
  std::map<int64_t, int64_t> revisions;
  std::vector<int64_t> windows;                             // ends, in the order in which they came
  std::map<int32_t, FateCounts> counts;
  std::map<int32_t, int64_t> next_offsets;
  std::vector<int64_t> batches;                             // records consumed by each commit
  std::vector<LateRecord> late;
  std::vector<DeadLetter> dead_letters;
  std::vector<LostRange> gaps;
  int closed = 0;

  // "[start,end) key value" a line, in order.
  std::string Rows(int64_t window_ms) {
    const std::lock_guard lock(mutex);
    std::string text;
    for (const auto& [at, value] : rows)
      text += "[" + std::to_string(at.first - window_ms) + "," + std::to_string(at.first) + ") " + at.second + " " + std::to_string(value) + "\n";
    return text;
  }
  FateCounts Sum() {
    const std::lock_guard lock(mutex);
    FateCounts sum;
    for (const auto& [partition, c] : counts) {
      sum.consumed += c.consumed;
      sum.aggregated += c.aggregated;
      sum.filtered += c.filtered;
      sum.skipped += c.skipped;
      sum.late += c.late;
      sum.invalid += c.invalid;
      sum.quarantined += c.quarantined;
      sum.gap += c.gap;
    }
    return sum;
  }
  template <class Condition>
  bool Wait(Condition condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), condition);
  }
};

class RecordingSink final : public Sink {
 public:
  RecordingSink(Committed* to, int fail_at) : to_(to), fail_at_(fail_at) {}
  absl::Status Write(const Commit& commit) override {
    const std::lock_guard lock(to_->mutex);
    if (++writes_ == fail_at_) return absl::ResourceExhaustedError("the disk is full");
    for (const ClosedWindow& w : commit.windows) {
      std::erase_if(to_->rows, [&](const auto& row) { return row.first.first == w.end_ms; });
      for (size_t i = 0; i < w.rows.size(); ++i) to_->rows[{w.end_ms, std::string(w.rows.key(i))}] = w.rows.value(i);
      to_->revisions[w.end_ms] = w.revision;
      to_->windows.push_back(w.end_ms);
    }
    int64_t consumed = 0;
    for (const PartitionProgress& p : commit.partitions) {
      const FateCounts& c = p.counts;
      EXPECT_EQ(c.consumed, c.aggregated + c.filtered + c.skipped + c.late + c.invalid + c.quarantined + c.duplicates);
      EXPECT_EQ(p.position.next_offset - p.position.first_offset, c.consumed + c.gap);
      consumed += c.consumed - to_->counts[p.position.partition].consumed;
      to_->counts[p.position.partition] = c;
      to_->next_offsets[p.position.partition] = p.position.next_offset;
    }
    to_->batches.push_back(consumed);
    to_->late.insert(to_->late.end(), commit.late.begin(), commit.late.end());
    to_->dead_letters.insert(to_->dead_letters.end(), commit.dead_letters.begin(), commit.dead_letters.end());
    for (const LostRange& gap : commit.gaps) {
      const auto same = [&](const PartitionProgress& p) { return p.position.partition == gap.partition; };
      EXPECT_TRUE(std::any_of(commit.partitions.begin(), commit.partitions.end(), same)) << "a gap comes with the position behind it";
      EXPECT_GE(to_->next_offsets[gap.partition], gap.next_offset);
      to_->gaps.push_back(gap);
    }
    to_->changed.notify_all();
    return absl::OkStatus();
  }
  absl::Status Close() override {
    const std::lock_guard lock(to_->mutex);
    ++to_->closed;
    return absl::OkStatus();
  }

 private:
  Committed* const to_;
  const int fail_at_;
  int writes_ = 0;
};

Operator CountNames() {
  return Define("names", "records by name").Reads(Text("name")).Key("name").Counts("records").Map([](const auto& batch, auto& emit) {
    for (const auto& row : batch) {
      const std::string_view name = row.template get<0>();
      if (name == "throw") throw std::runtime_error("no such name");
      if (name.data() != nullptr) emit(row, name);
    }
  });
}

JobOptions Options() {
  JobOptions options;
  options.format.name = "test";
  options.format.fields = {{"name", {"n"}}, {"text", {"text"}}, {"lang", {"lang"}}};
  options.format.times = {{"t", TimeEncoding::kMillis}};
  options.window = {.window_ms = 10, .slide_ms = 10};
  options.watermark_delay_ms = 0;
  options.max_jump_ms = kForever;
  options.batch = absl::Milliseconds(20);
  options.workers = 2;
  return options;
}

std::string At(int64_t time, const std::string& name, const std::string& more = "") {
  return "{\"t\":" + std::to_string(time) + ",\"n\":\"" + name + "\"" + more + "}";
}
std::vector<std::string> Many(size_t count, int64_t time, const std::string& name) {
  return std::vector<std::string>(count, At(time, name));
}

// A job with its fakes. What it committed outlives it.
struct Running {
  explicit Running(JobOptions options, std::unique_ptr<FakeSource> from, int fail_sink_at = 0, std::unique_ptr<ResultsFile> results = nullptr)
      : source(from.get()) {
    Job::Parts parts;
    parts.options = std::move(options);
    parts.operators.push_back(CountNames());
    parts.source = std::move(from);
    parts.results = std::move(results);
    parts.sinks.push_back(std::make_unique<RecordingSink>(&out, fail_sink_at));
    auto made = Job::Create(std::move(parts));
    EXPECT_TRUE(made.ok()) << made.status();
    job = *std::move(made);
  }
  ~Running() {
    if (thread.joinable()) (void)Finish();  // a failed ASSERT left it running
  }
  void Start() {
    thread = std::thread([this] { status = job->Run(); });
  }
  absl::Status Finish() {
    job->Stop();
    thread.join();
    return status;
  }
  Committed out;  // before the job: its sinks write into it
  FakeSource* const source;
  std::unique_ptr<Job> job;
  std::thread thread;
  absl::Status status;
};

std::unique_ptr<FakeSource> Bounded(int partitions = 1) { return std::make_unique<FakeSource>(FakeSource::Kind{}, partitions); }
std::unique_ptr<FakeSource> Live(int partitions = 1) {
  return std::make_unique<FakeSource>(FakeSource::Kind{.bounded = false, .may_idle = true, .advances = true}, partitions);
}

TEST(JobTest, ABoundedRunEndsAndClosesAllWindows) {
  auto source = Bounded();
  source->Push(0, {At(1, "ana"), At(2, "bob"), At(9, "ana"), At(10, "ana"), At(35, "bob")});
  Running run(Options(), std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Rows(10), "[0,10) ana 2\n[0,10) bob 1\n[10,20) ana 1\n[30,40) bob 1\n");
  EXPECT_EQ(run.out.closed, 1);
  EXPECT_EQ(run.job->report().counts.consumed, 5);
  EXPECT_EQ(run.source->committed(0), 5) << "the source is told, for lag tools";
}

TEST(JobTest, AnEmptyInputIsARunToo) {
  Running run(Options(), Bounded());
  EXPECT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Rows(10), "");
}

// Every record has one fate, in this order: invalid, skipped, quarantined, late, filtered, aggregated.
TEST(JobTest, EveryRecordHasOneFateInOrder) {
  JobOptions options = Options();
  options.track = {"rain"};
  options.max_future_ms = 60'000;
  const int64_t future = absl::ToUnixMillis(absl::Now()) + 3'600'000;
  auto source = Bounded();
  std::vector<std::string> records(16, At(1000, "ana", R"(,"text":"Rain")"));
  records.insert(records.end(), {
      R"({"t":1,"n":)",                                       // invalid, though it is late and filtered too
      R"({"n":"ana","text":"sun"})",                          // skipped, though filtered
      At(future, "ana", R"(,"text":"sun")"),                  // quarantined, though filtered
      At(1, "ana", R"(,"text":"sun")"),                       // late, though filtered
      At(1, "ana", R"(,"text":"rain")"),                      // late
      At(1001, "ana", R"(,"text":"sun")"),                    // filtered
      R"({"t":1001,"text":"rain"})",                          // aggregated, without a key
      At(1001, "bob", R"(,"text":"rain")"),
  });
  source->Push(0, records);
  Running run(options, std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  const FateCounts c = run.out.Sum();
  EXPECT_EQ(c.consumed, 24);
  EXPECT_EQ(c.invalid, 1);
  EXPECT_EQ(c.skipped, 1);
  EXPECT_EQ(c.quarantined, 1);
  EXPECT_EQ(c.late, 2);
  EXPECT_EQ(c.filtered, 1);
  EXPECT_EQ(c.aggregated, 18);
  EXPECT_EQ(run.out.Rows(10), "[1000,1010) ana 16\n[1000,1010) bob 1\n");
  ASSERT_EQ(run.out.dead_letters.size(), 2u) << "the invalid and the quarantined one";
  EXPECT_EQ(run.out.dead_letters[0].offset, 16);
  EXPECT_EQ(run.out.dead_letters[1].offset, 18);
  ASSERT_EQ(run.out.late.size(), 2u);
  EXPECT_FALSE(run.out.late[0].idle);
  EXPECT_EQ(run.out.late[1].offset, 20);
}

TEST(JobTest, FilteredRecordsMoveTheWatermark) {
  JobOptions options = Options();
  options.langs = {"en"};
  auto source = Bounded();
  source->Push(0, Many(16, 5000, "ana"));  // no lang: filtered
  source->Push(0, {At(10, "ana", R"(,"lang":"en")")});
  Running run(options, std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Sum().filtered, 16);
  EXPECT_EQ(run.out.Sum().late, 1);
}

// Lateness is a function of the partition's own prefix: a partition far ahead makes nobody else's records late.
TEST(JobTest, LatenessIsDecidedByTheRecordsOwnPartition) {
  auto source = Bounded(2);
  source->Push(0, Many(40, 1'000'000, "ahead"));
  source->Push(1, Many(40, 5, "behind"));
  Running run(Options(), std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Sum().late, 0);
  EXPECT_EQ(run.out.Rows(10), "[0,10) behind 40\n[1000000,1000010) ahead 40\n");
}

// A record counts in all its windows or is late in all: what decides is the end of its pane.
TEST(JobTest, LateMeansThePanesEndAndTheAllowedLatenessHavePassed) {
  JobOptions options = Options();
  options.window = {.window_ms = 60, .slide_ms = 30};
  for (const auto& [lateness, late] : std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {5, 1}, {6, 0}}) {
    options.allowed_lateness_ms = lateness;
    auto source = Bounded();
    source->Push(0, Many(16, 35, "ana"));
    source->Push(0, {At(5, "ana")});  // pane [0,30): late once the watermark, 35, is at or beyond 30 + lateness
    Running run(options, std::move(source));
    ASSERT_TRUE(run.job->Run().ok());
    EXPECT_EQ(run.out.Sum().late, late) << "allowed lateness " << lateness;
  }
}

TEST(JobTest, ALateRecordWithinTheAllowedLatenessCorrectsItsWindow) {
  JobOptions options = Options();
  options.allowed_lateness_ms = 1000;
  auto source = Live();
  source->Push(0, Many(16, 5, "ana"));
  source->Push(0, {At(30, "bob")});
  Running run(options, std::move(source));
  run.Start();
  ASSERT_TRUE(run.out.Wait([&] { return run.out.revisions.count(10) == 1; }));
  run.source->Push(0, {At(6, "cid")});
  ASSERT_TRUE(run.out.Wait([&] { return run.out.revisions[10] == 1; }));
  EXPECT_TRUE(run.Finish().ok());
  EXPECT_EQ(run.out.Rows(10).find("[0,10) ana 16\n[0,10) cid 1\n"), 0u) << run.out.Rows(10);
}

TEST(JobTest, TopCutsTheRowsOfEachWindow) {
  JobOptions options = Options();
  options.top = 1;
  auto source = Bounded();
  source->Push(0, {At(1, "ana"), At(1, "bob"), At(1, "bob"), At(11, "b"), At(11, "a")});
  Running run(options, std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Rows(10), "[0,10) bob 2\n[10,20) a 1\n");
}

// ---- Bounds.

TEST(JobTest, BatchesAreBoundedInRecords) {
  JobOptions options = Options();
  options.batch_records = 7;
  auto source = Bounded(3);
  for (size_t p = 0; p < 3; ++p) source->Push(p, Many(20, 5, "ana"));
  Running run(options, std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Rows(10), "[0,10) ana 60\n");
  int64_t sum = 0;
  for (int64_t records : run.out.batches) {
    EXPECT_LE(records, 7);
    sum += records;
  }
  EXPECT_EQ(sum, 60);
  EXPECT_GE(run.out.batches.size(), 9u);
  for (const PollLimits& limits : run.source->polls()) EXPECT_LE(limits.max_records, 7);
}

TEST(JobTest, BatchesAreBoundedInBytes) {
  JobOptions options = Options();
  options.batch_bytes = 100;
  options.workers = 1;
  auto source = Bounded();
  source->chunk_records = 1;
  const std::string record = At(5, "ana");
  source->Push(0, std::vector<std::string>(50, record));
  Running run(options, std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  for (int64_t records : run.out.batches) EXPECT_LT((records - 1) * static_cast<int64_t>(record.size()), 100);
  EXPECT_GE(run.out.batches.size(), 50 * record.size() / (100 + record.size()));
}

TEST(JobTest, LimitEndsAfterSoManyRecordsAndClosesAll) {
  for (int workers : {1, 4}) {
    JobOptions options = Options();
    options.limit = 17;
    options.workers = workers;
    auto source = Live();
    source->Push(0, Many(100, 5, "ana"));
    Running run(options, std::move(source));
    ASSERT_TRUE(run.job->Run().ok());
    EXPECT_EQ(run.out.Sum().consumed, 17);
    EXPECT_EQ(run.out.Rows(10), "[0,10) ana 17\n");
  }
}

TEST(JobTest, ForEndsAfterSoMuchTimeAndClosesAll) {
  JobOptions options = Options();
  options.run_for = absl::Milliseconds(150);
  options.idle_timeout_ms = kForever;
  auto source = Live();
  source->Push(0, Many(3, 5, "ana"));
  Running run(options, std::move(source));
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(150));
  EXPECT_EQ(run.out.Rows(10), "[0,10) ana 3\n");
}

// A signal closes nothing early: what is open stays open for the run that goes on.
TEST(JobTest, StopCommitsWhatWasReadAndClosesNothingEarly) {
  JobOptions options = Options();
  options.idle_timeout_ms = kForever;
  auto source = Live();
  source->Push(0, Many(20, 5, "ana"));
  source->Push(0, {At(15, "bob")});
  Running run(options, std::move(source));
  run.Start();
  ASSERT_TRUE(run.out.Wait([&] { return run.out.next_offsets[0] == 21; }));
  EXPECT_TRUE(run.Finish().ok());
  EXPECT_EQ(run.out.Rows(10), "[0,10) ana 20\n") << "[10,20) is still open";
  EXPECT_EQ(run.out.closed, 1);
}

TEST(JobTest, PartitionsMayAppearWhileTheJobRuns) {
  JobOptions options = Options();
  options.idle_timeout_ms = kForever;
  auto source = Live();
  source->Push(0, Many(5, 5, "ana"));
  Running run(options, std::move(source));
  run.Start();
  ASSERT_TRUE(run.out.Wait([&] { return run.out.next_offsets[0] == 5; }));
  run.source->AddPartition();
  run.source->Push(1, Many(7, 5, "bob"));
  ASSERT_TRUE(run.out.Wait([&] { return run.out.next_offsets[1] == 7; }));
  EXPECT_TRUE(run.Finish().ok());
}

// Offsets that hold nothing are a gap that is counted, so that the sum still comes out (the sink of this test checks it).
TEST(JobTest, OffsetsWithoutARecordAreCountedAsGap) {
  auto source = Bounded();
  source->Push(0, Many(2, 5, "ana"));
  source->Skip(0, 10);
  source->Push(0, Many(3, 5, "ana"));
  Running run(Options(), std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Sum().gap, 10);
  EXPECT_EQ(run.out.next_offsets[0], 15);
}

// What a source declares lost is in the commit that passes over it, and counted in the same column.
TEST(JobTest, LostRangesAreCommittedWithTheOffsetsBehindThem) {
  auto source = Bounded(2);
  source->Push(0, Many(2, 5, "ana"));
  source->Skip(0, 10);
  source->Lose(0, 7, "retention was faster");
  source->Push(0, Many(3, 5, "ana"));
  source->Lose(1, 0, "the log is another one");  // nobody knows how many: still worth a row
  Running run(Options(), std::move(source));
  ASSERT_TRUE(run.job->Run().ok());
  EXPECT_EQ(run.out.Sum().gap, 17);
  EXPECT_EQ(run.out.next_offsets[0], 22);
  ASSERT_EQ(run.out.gaps.size(), 2u);
  for (const LostRange& gap : run.out.gaps) {
    const bool first = gap.partition == 0;
    EXPECT_EQ(gap.topic, "log");
    EXPECT_EQ(gap.first_offset, first ? 12 : 0);
    EXPECT_EQ(gap.next_offset, first ? 19 : 0);
    EXPECT_EQ(gap.reason, first ? "retention was faster" : "the log is another one");
  }
}

// ---- Silence.

// One partition that fell silent must not hold the windows of the others.
TEST(JobTest, ASilentPartitionLeavesTheWatermarkAfterTheIdleTimeout) {
  JobOptions options = Options();
  options.idle_timeout_ms = 100;
  auto source = Live(2);
  source->Push(0, Many(16, 5, "quiet"));
  source->Push(1, Many(16, 5, "busy"));
  Running run(options, std::move(source));
  const absl::Time begin = absl::Now();
  run.Start();
  // Only partition 1 goes on; each record is a minute ahead, so that wall clock pace cannot be what closes windows.
  for (int64_t minute = 1; absl::Now() - begin < absl::Seconds(10); ++minute) {
    run.source->Push(1, {At(minute * 60'000, "busy")});
    absl::SleepFor(absl::Milliseconds(10));
    const std::lock_guard lock(run.out.mutex);
    if (run.out.revisions.count(60'010) > 0) break;
  }
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(80)) << "not before the idle timeout";
  EXPECT_TRUE(run.Finish().ok());
  EXPECT_EQ(run.out.revisions.count(60'010), 1u);
}

TEST(JobTest, APartitionWhoseEndWasNotReachedHoldsTheWatermarkBeforeItsFirstRecord) {
  JobOptions options = Options();
  options.idle_timeout_ms = 30;
  auto source = Live(2);
  source->SetBehind(1, true);  // an outage, say: nothing has come of it, but there is something
  source->Push(0, Many(16, 5, "ana"));
  source->Push(0, {At(5000, "ana")});
  Running run(options, std::move(source));
  run.Start();
  absl::SleepFor(absl::Milliseconds(250));
  {
    const std::lock_guard lock(run.out.mutex);
    EXPECT_TRUE(run.out.windows.empty());
  }
  run.source->SetBehind(1, false);  // it turns out to be empty: an empty partition is not active
  EXPECT_TRUE(run.out.Wait([&] { return run.out.revisions.count(10) == 1; }));
  EXPECT_TRUE(run.Finish().ok());
}

// When all is silent the watermark goes on at the wall clock's pace, so the last windows close without another record.
TEST(JobTest, InSilenceTheLastWindowsClose) {
  JobOptions options = Options();
  options.idle_timeout_ms = 30;
  options.window = {.window_ms = 300, .slide_ms = 300};
  auto source = Live();
  source->Push(0, {At(1000, "ana"), At(1100, "bob")});  // fewer than sixteen
  Running run(options, std::move(source));
  const absl::Time begin = absl::Now();
  run.Start();
  ASSERT_TRUE(run.out.Wait([&] { return run.out.revisions.count(1200) == 1; }));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(60)) << "from 1100 to 1200 at the wall clock's pace";
  // A record that is late for that reason alone says so.
  run.source->Push(0, {At(1150, "cid")});
  ASSERT_TRUE(run.out.Wait([&] { return run.out.late.size() == 1; }));
  EXPECT_TRUE(run.out.late[0].idle);
  EXPECT_TRUE(run.Finish().ok());
  EXPECT_EQ(run.out.Rows(300), "[900,1200) ana 1\n[900,1200) bob 1\n");
}

// The clock never takes the watermark beyond now - delay: records of a live stream must not become late by silence.
TEST(JobTest, InSilenceTheWatermarkStaysBehindTheWallClock) {
  JobOptions options = Options();
  options.idle_timeout_ms = 10;
  options.watermark_delay_ms = 60'000;
  options.window = {.window_ms = 1000, .slide_ms = 1000};
  auto source = Live();
  const int64_t now = absl::ToUnixMillis(absl::Now());
  source->Push(0, Many(20, now + 120'000, "ana"));  // stands a minute ahead of now - delay
  Running run(options, std::move(source));
  run.Start();
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_TRUE(run.Finish().ok());
  EXPECT_TRUE(run.out.windows.empty());
  EXPECT_LE(run.job->report().watermark_ms, now + 60'000);
}

TEST(JobTest, ABoundedRunNeverAdvancesByTheClock) {
  JobOptions options = Options();
  options.idle_timeout_ms = 1;
  auto source = std::make_unique<FakeSource>(FakeSource::Kind{.bounded = true, .may_idle = false, .advances = false}, 2);
  source->SetBehind(1, true);
  source->Push(0, {At(5, "ana")});
  Running run(options, std::move(source));
  run.Start();
  absl::SleepFor(absl::Milliseconds(150));
  {
    const std::lock_guard lock(run.out.mutex);
    EXPECT_TRUE(run.out.windows.empty());
  }
  run.source->Push(1, {At(5, "bob")});
  run.source->SetBehind(1, false);
  run.thread.join();
  EXPECT_TRUE(run.status.ok());
  EXPECT_EQ(run.out.Rows(10), "[0,10) ana 1\n[0,10) bob 1\n");
}

// ---- Errors.

// A file that is rotated away, a retention that overtook us: what could be read before counts.
TEST(JobTest, AfterAnErrorOfTheSourceWhatWasReadBeforeIsCommitted) {
  JobOptions options = Options();
  options.batch = absl::Seconds(10);
  options.batch_records = 6;
  options.workers = 1;
  auto source = Bounded();
  source->chunk_records = 3;
  source->Push(0, Many(30, 5, "ana"));
  source->FailAtPoll(4, absl::DataLossError("retention was faster"));  // the second poll of the second batch
  Running run(options, std::move(source));
  const absl::Status status = run.job->Run();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(run.out.next_offsets[0], 9) << "the first batch, and what the second had";
  EXPECT_EQ(run.out.Sum().consumed, 9);
  EXPECT_EQ(run.out.Rows(10), "") << "an error closes nothing";
  EXPECT_EQ(run.out.closed, 1);
}

TEST(JobTest, AnErrorOfASinkEndsTheRun) {
  JobOptions options = Options();
  options.batch_records = 3;
  options.idle_timeout_ms = kForever;
  auto source = Live();
  source->Push(0, Many(100, 5, "ana"));
  Running run(options, std::move(source), /*fail_sink_at=*/2);
  EXPECT_EQ(run.job->Run().message(), "the disk is full");
  EXPECT_EQ(run.out.next_offsets[0], 3);
  EXPECT_EQ(run.source->committed(0), 3) << "the source is not told of what was not written";
}

TEST(JobTest, AnOperatorThatThrowsEndsTheRunOnAnyWorker) {
  for (int workers : {1, 4}) {
    JobOptions options = Options();
    options.workers = workers;
    options.batch_records = 50;
    auto source = Bounded();
    source->Push(0, Many(50, 5, "ana"));
    source->Push(0, Many(50, 5, "throw"));
    Running run(options, std::move(source));
    const absl::Status status = run.job->Run();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_NE(std::string(status.message()).find("operator names threw: no such name"), std::string::npos) << status;
    EXPECT_EQ(run.out.next_offsets[0], 50) << "nothing of the batch in which it threw";
  }
}

// A worker's thread has nobody above it who would catch anything.
TEST(JobTest, MemoryThatRunsOutInTheSourceEndsTheRunOnAnyWorker) {
  for (int workers : {1, 4}) {
    JobOptions options = Options();
    options.workers = workers;
    options.batch = absl::Seconds(10);
    options.batch_records = 6;
    auto source = Bounded();
    source->Push(0, Many(30, 5, "ana"));
    source->ThrowAtPoll(4);  // the second poll of the second batch
    Running run(options, std::move(source));
    const absl::Status status = run.job->Run();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_NE(std::string(status.message()).find("out of memory in the source"), std::string::npos) << status;
    EXPECT_EQ(run.out.next_offsets[0], 6) << "nothing of the batch in which it happened";
  }
}

TEST(JobTest, AFormatWithoutATimeIsRefused) {
  Job::Parts parts;
  parts.options = Options();
  parts.options.format.times.clear();
  parts.operators.push_back(CountNames());
  parts.source = Bounded();
  EXPECT_EQ(Job::Create(std::move(parts)).status().code(), absl::StatusCode::kInvalidArgument);
}

// ---- Processing time.

TEST(JobTest, InProcessingTimeARecordsTimeIsItsBatchs) {
  JobOptions options = Options();
  options.time = TimeKind::kProcessing;
  options.batch = absl::Milliseconds(20);
  options.window = {.window_ms = 40, .slide_ms = 20};
  auto source = Live();
  source->Push(0, {R"({"n":"ana"})", R"({"n":"ana","t":-5})"});
  Running run(options, std::move(source));
  run.Start();
  ASSERT_TRUE(run.out.Wait([&] { return run.out.windows.size() == 2; })) << "each record lies in two windows";
  EXPECT_TRUE(run.Finish().ok());
  const int64_t now = absl::ToUnixMillis(absl::Now());
  for (const auto& [at, value] : run.out.rows) {
    EXPECT_EQ(at.first % 20, 0);
    EXPECT_NEAR(static_cast<double>(at.first), static_cast<double>(now), 30'000);
    EXPECT_EQ(value, 2);
  }
}

// ---- The law, in small: the same records, however they are chunked, batched, spread over workers, and wherever the run is cut,
// give the same rows and the same fates. Where it is cut it goes on from a results file.

TEST(JobTest, TheSameRecordsGiveTheSameRowsHoweverTheyAreRun) {
  char folder[] = "/tmp/weir_job_test_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    JobOptions options = Options();
    options.window = {.window_ms = 60, .slide_ms = 20};
    options.watermark_delay_ms = 15;
    options.allowed_lateness_ms = seed % 2 == 0 ? 0 : 50;
    options.max_jump_ms = 1000;
    std::vector<std::vector<std::string>> logs(2);
    int64_t base = -2000;
    for (int i = 0; i < 600; ++i) {
      base += random() % 8;
      if (random() % 200 == 0) base += 50'000;
      const int64_t time = base - static_cast<int64_t>(random() % 10 == 0 ? random() % 300 : random() % 12) + (random() % 150 == 0 ? 900'000 : 0);
      logs[random() % 2].push_back(random() % 50 == 0 ? "{\"t\":" : random() % 50 == 0 ? "{}" : At(time, "n" + std::to_string(random() % 9)));
    }
    std::string first_rows;
    FateCounts first;
    for (int variant = 0; variant < 5; ++variant) {
      SCOPED_TRACE(testing::Message() << "variant " << variant);
      options.workers = 1 + variant % 3;
      options.batch_records = variant == 0 ? 0 : 1 + random() % 90;
      const std::string path = std::string(folder) + "/" + std::to_string(seed) + "_" + std::to_string(variant) + ".db";
      std::map<std::pair<int64_t, std::string>, int64_t> rows;
      FateCounts counts;
      std::string text;
      for (bool over = false; !over;) {
        auto source = std::make_unique<FakeSource>(FakeSource::Kind{.bounded = true}, 2);
        source->chunk_records = 1 + random() % 40;
        for (size_t p = 0; p < 2; ++p) source->Push(p, logs[p]);
        ResultsOptions results;
        results.path = path;
        results.tables = {{.table = "names", .key = "name", .value = "records"}};
        auto file = ResultsFile::Open(results);
        ASSERT_TRUE(file.ok()) << file.status();
        // From variant 2 on the run is cut: by an error of the source at any poll, from where the next one goes on.
        const bool cut = variant >= 2 && random() % 3 != 0;
        if (cut) source->FailAtPoll(static_cast<int>(1 + random() % 30), absl::DataLossError("cut"));
        Running run(options, std::move(source), 0, *std::move(file));
        const absl::Status status = run.job->Run();
        over = status.ok();
        ASSERT_TRUE(over || status.message() == "cut") << status;
        const std::lock_guard lock(run.out.mutex);
        for (int64_t end : run.out.windows) std::erase_if(rows, [&](const auto& row) { return row.first.first == end; });
        rows.insert(run.out.rows.begin(), run.out.rows.end());
        if (over) {
          for (const auto& [partition, c] : run.out.counts) {
            counts.aggregated += c.aggregated;
            counts.late += c.late;
            counts.invalid += c.invalid;
            counts.skipped += c.skipped;
          }
        }
      }
      for (const auto& [at, value] : rows) text += std::to_string(at.first) + " " + at.second + " " + std::to_string(value) + "\n";
      if (variant == 0) {
        first_rows = text;
        first = counts;
        EXPECT_GT(counts.late, 0) << "the corpus must hold every fate";
        EXPECT_GT(counts.invalid, 0);
        EXPECT_GT(counts.skipped, 0);
      }
      ASSERT_EQ(text, first_rows);
      ASSERT_EQ(counts.late, first.late);
      ASSERT_EQ(counts.aggregated, first.aggregated);
    }
  }
  ASSERT_EQ(std::system((std::string("rm -rf ") + folder).c_str()), 0);
}

}  // namespace
}  // namespace weir
