#include "engine/window/keyed_window.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

// "[start,end) revision/records: key value, …", one window a line.
std::string Text(const WindowSpec& spec, const std::vector<WindowRows>& windows) {
  std::string text;
  for (const WindowRows& w : windows) {
    text += "[" + std::to_string(w.end_ms - spec.window_ms) + "," + std::to_string(w.end_ms) + ") " +
            std::to_string(w.revision) + "/" + std::to_string(w.records) + ":";
    for (size_t i = 0; i < w.rows.size(); ++i)
      text += (i == 0 ? " " : ", ") + std::string(w.rows.key(i)) + " " + std::to_string(w.rows.value(i));
    text += "\n";
  }
  return text;
}

struct Value {
  int64_t time;
  std::string key;
  int64_t value = 1;
};

// A window driven by hand.
template <class A>
class Driver {
 public:
  explicit Driver(typename KeyedWindow<A>::Options options) : options_(options), window_(options) {}
  void Feed(const std::vector<Value>& values) {
    PaneDeltas<A> deltas;
    for (const Value& v : values) deltas.Add(options_.spec.PaneOf(v.time), v.key, v.value);
    window_.Merge(deltas, state_);
  }
  std::string Close(int64_t watermark) { return CloseAt(watermark, false); }
  std::string Finish() { return CloseAt(kNoWatermark, true); }
  KeyedWindow<A>& operator*() { return window_; }
  std::vector<PaneBlob>& state() { return state_; }

 private:
  std::string CloseAt(int64_t watermark, bool final) {
    std::vector<WindowRows> out;
    window_.Close(watermark, final, out, state_);
    return Text(options_.spec, out);
  }
  const typename KeyedWindow<A>::Options options_;
  KeyedWindow<A> window_;
  std::vector<PaneBlob> state_;
};

constexpr WindowSpec kTenByFive{.window_ms = 10, .slide_ms = 5};

TEST(KeyedWindowTest, AWindowClosesWhenTheWatermarkReachesItsEnd) {
  Driver<Count> job({.spec = kTenByFive});
  job.Feed({{9, "ana"}, {10, "ana"}, {10, "bob"}});
  EXPECT_EQ(job.Close(9), "");
  EXPECT_EQ(job.Close(10), "[0,10) 0/1: ana 1\n");
  EXPECT_EQ(job.Close(14), "");
  EXPECT_EQ(job.Close(30), "[5,15) 0/3: ana 2, bob 1\n[10,20) 0/2: ana 1, bob 1\n");
  EXPECT_EQ(job.Close(100), "") << "closed once";
}

TEST(KeyedWindowTest, NegativeTimesHaveWindowsLikeAnyOther) {
  Driver<Count> job({.spec = kTenByFive});
  job.Feed({{-1, "ana"}, {-11, "ana"}});
  EXPECT_EQ(job.Close(-10), "[-20,-10) 0/1: ana 1\n");
  EXPECT_EQ(job.Close(10), "[-15,-5) 0/1: ana 1\n[-10,0) 0/1: ana 1\n[-5,5) 0/1: ana 1\n");
}

// Keys whose value is zero are never there; the window is, since it held values.
TEST(KeyedWindowTest, ASumOfZeroHasNoRow) {
  Driver<Sum> job({.spec = kTenByFive});
  job.Feed({{1, "ana", 4}, {1, "bob", 2}, {2, "ana", -4}});
  EXPECT_EQ(job.Close(5), "[-5,5) 0/3: bob 2\n");
  Driver<Sum> none({.spec = kTenByFive});
  none.Feed({{1, "ana", 0}});
  EXPECT_EQ(none.Close(5), "[-5,5) 0/1:\n");
}

TEST(KeyedWindowTest, ALateValueReplacesItsClosedWindowsOneRevisionHigher) {
  Driver<Max> job({.spec = kTenByFive, .allowed_lateness_ms = 100});
  job.Feed({{6, "ana", 5}, {12, "ana", 3}});
  EXPECT_EQ(job.Close(15), "[0,10) 0/1: ana 5\n[5,15) 0/2: ana 5\n");
  job.Feed({{7, "bob", 9}});
  EXPECT_EQ(job.Close(15), "[0,10) 1/2: ana 5, bob 9\n[5,15) 1/3: ana 5, bob 9\n");
  EXPECT_EQ(job.Close(20), "[10,20) 0/1: ana 3\n");
  job.Feed({{13, "ana", 1}});
  EXPECT_EQ(job.Close(20), "[5,15) 2/4: ana 5, bob 9\n[10,20) 1/2: ana 3\n") << "corrected even if no row changes";
}

// A late value may also make a window that nobody had missed: revision 0, though its end has long passed.
TEST(KeyedWindowTest, ALateValueMayBringAClosedWindowToLife) {
  Driver<Count> job({.spec = kTenByFive, .allowed_lateness_ms = 1000});
  job.Feed({{500, "ana"}});
  EXPECT_EQ(job.Close(510), "[495,505) 0/1: ana 1\n[500,510) 0/1: ana 1\n");
  job.Feed({{0, "bob"}});
  EXPECT_EQ(job.Close(510), "[-5,5) 0/1: bob 1\n[0,10) 0/1: bob 1\n");
}

TEST(KeyedWindowTest, PanesLeaveWhenNoWindowCanNeedThem) {
  Driver<Count> job({.spec = kTenByFive, .allowed_lateness_ms = 20});
  job.Feed({{1, "ana"}, {6, "ana"}});
  job.Close(15);
  (*job).Release(15);
  EXPECT_EQ((*job).panes(), 2u) << "within the allowed lateness";
  (*job).Release(30);
  EXPECT_EQ((*job).panes(), 1u) << "[0,10) is done at 30";
  (*job).Release(35);
  EXPECT_EQ((*job).panes(), 0u);
}

// Between two records may lie years: windows without a pane are never visited (with 1 ms slides there would be 3e11).
TEST(KeyedWindowTest, SparseTimeCostsNothing) {
  const int64_t decade = int64_t{10} * 366 * 24 * 3600 * 1000;
  Driver<Count> job({.spec = {.window_ms = 3, .slide_ms = 1}});
  job.Feed({{0, "ana"}, {decade, "ana"}, {-decade, "ana"}});
  std::vector<WindowRows> out;
  std::vector<PaneBlob> state;
  (*job).Close(2 * decade, false, out, state);
  EXPECT_EQ(out.size(), 9u);
  job.Feed({{4 * decade, "ana"}});
  out.clear();
  (*job).Close(kNoWatermark, true, out, state);
  EXPECT_EQ(out.size(), 3u);
}

TEST(KeyedWindowTest, TheEndOfABoundedRunClosesAllAndMoreDataComesOneRevisionHigher) {
  Driver<Count> job({.spec = kTenByFive});
  job.Feed({{11, "ana"}});
  EXPECT_EQ(job.Finish(), "[5,15) 0/1: ana 1\n[10,20) 0/1: ana 1\n");
  EXPECT_EQ(job.Finish(), "") << "nothing came since";
  job.Feed({{17, "ana"}});
  EXPECT_EQ(job.Finish(), "[10,20) 1/2: ana 2\n[15,25) 0/1: ana 1\n");
}

TEST(KeyedWindowTest, NothingInNothingOut) {
  Driver<Count> job({.spec = kTenByFive});
  job.Feed({});
  EXPECT_EQ(job.Close(1000), "");
  EXPECT_EQ(job.Finish(), "");
}

// What a restart reads stays in proportion to the state: a sealed pane that took many commits becomes one blob.
TEST(KeyedWindowTest, ASealedPaneOfManyCommitsBecomesOneBlob) {
  Driver<Count> job({.spec = kTenByFive, .keep_state = true});
  for (int commit = 0; commit < 20; ++commit) job.Feed({{1, "ana"}});
  EXPECT_EQ(job.state().size(), 20u);
  job.Close(5);
  ASSERT_EQ(job.state().size(), 21u);
  EXPECT_TRUE(job.state().back().replace);
  KeyedWindow<Count> restored({.spec = kTenByFive});
  ASSERT_TRUE(restored.RestorePane(0, job.state().back().bytes));
  std::vector<WindowRows> out;
  std::vector<PaneBlob> state;
  restored.Close(5, false, out, state);
  EXPECT_EQ(Text(kTenByFive, out), "[-5,5) 0/20: ana 20\n");
}

// What the results file takes as one value is bounded; a pane is not.
TEST(KeyedWindowTest, ALargePaneBecomesSeveralBlobs) {
  Driver<Count> job({.spec = kTenByFive, .keep_state = true, .blob_bytes = 1000});
  std::vector<Value> many;
  for (int i = 0; i < 300; ++i) many.push_back({1, "a key of some length " + std::to_string(i)});
  for (int commit = 0; commit < 8; ++commit) job.Feed(many);
  const size_t deltas = job.state().size();
  EXPECT_GT(deltas, 8u * 5);
  job.Close(5);
  KeyedWindow<Count> restored({.spec = kTenByFive});
  size_t replaced = 0;
  for (size_t i = deltas; i < job.state().size(); ++i) {
    const PaneBlob& blob = job.state()[i];
    EXPECT_LT(blob.bytes.size(), 1100u);
    EXPECT_EQ(blob.replace, i == deltas) << "only the first: it removes what was stored before";
    replaced += blob.replace;
    ASSERT_TRUE(restored.RestorePane(0, blob.bytes));
  }
  EXPECT_EQ(replaced, 1u);
  std::vector<WindowRows> out;
  std::vector<PaneBlob> state;
  restored.Close(5, false, out, state);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].records, 2400);
  EXPECT_EQ(out[0].rows.size(), 300u);
}

TEST(KeyedWindowTest, ADamagedBlobIsRefused) {
  KeyedWindow<Count> window({.spec = kTenByFive});
  EXPECT_FALSE(window.RestorePane(0, "no blob"));
}

// ---- Against recomputation, on random streams.

template <class A>
int64_t FoldOf(const std::vector<int64_t>& values) {
  int64_t sum = 0, greatest = INT64_MIN;
  for (int64_t v : values) {
    sum += v;
    greatest = std::max(greatest, v);
  }
  if constexpr (std::is_same_v<A, Count>) return static_cast<int64_t>(values.size());
  else if constexpr (std::is_same_v<A, Sum>) return sum;
  else return greatest;
}

struct Window {
  int64_t records = 0;
  std::map<std::string, int64_t> rows;
  friend bool operator==(const Window&, const Window&) = default;
};
using Windows = std::map<int64_t, Window>;  // by end

// From scratch: every value into every window that holds its time.
template <class A>
Windows Recompute(const WindowSpec& spec, const std::vector<Value>& values, int64_t only_end = INT64_MIN) {
  std::map<int64_t, std::map<std::string, std::vector<int64_t>>> in;
  for (const Value& v : values)
    for (int64_t start = FloorDiv(v.time, spec.slide_ms) * spec.slide_ms; v.time < start + spec.window_ms; start -= spec.slide_ms)
      if (only_end == INT64_MIN || start + spec.window_ms == only_end) in[start + spec.window_ms][v.key].push_back(v.value);
  Windows windows;
  for (const auto& [end, keys] : in)
    for (const auto& [key, all] : keys) {
      windows[end].records += static_cast<int64_t>(all.size());
      if (const int64_t value = FoldOf<A>(all); value != 0) windows[end].rows[key] = value;
    }
  return windows;
}

template <class A>
class KeyedWindowOracle : public testing::Test {};
using Aggregates = testing::Types<Count, Sum, Max>;
TYPED_TEST_SUITE(KeyedWindowOracle, Aggregates);

// One round: a stream of batches with late values, several workers, corrections, releases, restarts from blobs at any point,
// ends of input after which more data comes, gaps of years. What was emitted last for each window equals recomputation.
template <class A>
void Round(uint32_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  typename KeyedWindow<A>::Options options;
  options.spec.window_ms = 1 + below(40);
  options.spec.slide_ms = 1 + below(options.spec.window_ms);
  if (below(3) == 0) options.spec.slide_ms = options.spec.window_ms;
  options.allowed_lateness_ms = below(2) == 0 ? 0 : below(90);
  options.ordered = below(2) == 0;
  options.keep_state = below(4) != 0;
  const WindowSpec& spec = options.spec;
  SCOPED_TRACE(testing::Message() << "window " << spec.window_ms << " slide " << spec.slide_ms << " lateness "
                                  << options.allowed_lateness_ms << " ordered " << options.ordered << " state " << options.keep_state);

  auto window = std::make_unique<KeyedWindow<A>>(options);
  std::vector<std::unique_ptr<PaneDeltas<A>>> workers;
  for (int64_t n = 1 + below(4); n > 0; --n) workers.push_back(std::make_unique<PaneDeltas<A>>());

  std::vector<Value> values;                          // all that was folded
  Windows emitted;                                    // the newest rows of each window
  std::map<int64_t, int64_t> revisions, ledger_records;
  std::multimap<int64_t, std::string> stored;         // blobs by pane, as the results file keeps them
  int64_t watermark = kNoWatermark, base = below(400) - 300;
  int64_t keys_from = 0;
  bool finished = false;                              // since the last restart: windows beyond the watermark count as closed

  const auto keep = [&](const std::vector<PaneBlob>& blobs) {
    for (const PaneBlob& blob : blobs) {
      if (blob.replace) stored.erase(blob.pane);
      stored.emplace(blob.pane, blob.bytes);
    }
  };
  const auto close = [&](bool final) {
    std::vector<WindowRows> out;
    std::vector<PaneBlob> blobs;
    window->Close(watermark, final, out, blobs);
    keep(blobs);
    finished |= final;
    std::map<int64_t, int> times_emitted;
    for (const WindowRows& w : out) {
      ASSERT_EQ(++times_emitted[w.end_ms], 1) << "window " << w.end_ms << " twice in one commit";
      ASSERT_TRUE(finished || w.end_ms <= watermark) << "the window that ends at " << w.end_ms << " came early";
      const auto [at, first] = revisions.try_emplace(w.end_ms, -1);
      ASSERT_EQ(w.revision, ++at->second) << "of the window that ends at " << w.end_ms;
      Window now;
      now.records = w.records;
      for (size_t i = 0; i < w.rows.size(); ++i) {
        ASSERT_TRUE(now.rows.emplace(w.rows.key(i), w.rows.value(i)).second) << "a key twice";
        ASSERT_TRUE(!options.ordered || i == 0 || w.rows.key(i - 1) < w.rows.key(i));
      }
      ASSERT_EQ(now, Recompute<A>(spec, values, w.end_ms)[w.end_ms]) << "of the window that ends at " << w.end_ms;
      emitted[w.end_ms] = now;
      ledger_records[w.end_ms] = w.records;
    }
  };

  for (int64_t batch = 0, batches = 1 + below(25); batch < batches; ++batch) {
    for (int64_t n = below(4) == 0 ? 0 : below(25); n > 0; --n) {
      const Value v{base - below(60) + below(20), std::string(static_cast<size_t>(below(3)), 'k') + std::to_string(keys_from + below(6)),
                    below(5) - 2};
      // As the runtime decides it: late when the pane's end + allowed lateness is at or below the watermark.
      if (watermark != kNoWatermark && (FloorDiv(v.time, spec.pane_ms()) + 1) * spec.pane_ms() + options.allowed_lateness_ms <= watermark)
        continue;
      workers[static_cast<size_t>(below(static_cast<int64_t>(workers.size())))]->Add(spec.PaneOf(v.time), v.key, v.value);
      values.push_back(v);
    }
    std::vector<PaneBlob> blobs;
    for (size_t w = 1; w < workers.size(); ++w) workers[0]->Absorb(*workers[w]);
    window->Merge(*workers[0], blobs);
    workers[0]->Clear();
    keep(blobs);

    base += below(15);
    if (below(5) == 0) keys_from += below(6);                  // keys come and go
    if (below(25) == 0) base += int64_t{5} * 366 * 86'400'000;  // years pass
    if (below(3) != 0) watermark = std::max(watermark, base - below(70));
    if (below(4) != 0) close(false);
    if (testing::Test::HasFatalFailure()) return;
    if (below(12) == 0) close(true);
    if (testing::Test::HasFatalFailure()) return;
    // The runtime closes before it releases: a pane must not go before its windows have come.
    if (below(3) == 0 && watermark != kNoWatermark) {
      close(false);
      if (testing::Test::HasFatalFailure()) return;
      window->Release(watermark);
      for (auto it = stored.begin(); it != stored.end();)
        it = spec.LastWindowEnd(it->first) + options.allowed_lateness_ms <= watermark ? stored.erase(it) : std::next(it);
    }
    if (options.keep_state && below(6) == 0) {
      // A commit holds what its watermark closed; a kill comes after a commit.
      close(false);
      if (testing::Test::HasFatalFailure()) return;
      window = std::make_unique<KeyedWindow<A>>(options);
      finished = false;
      for (const auto& [pane, blob] : stored) ASSERT_TRUE(window->RestorePane(pane, blob));
      for (const auto& [end, records] : ledger_records)
        if (watermark == kNoWatermark || end > SaturatingAdd(watermark, -options.allowed_lateness_ms))
          window->ResumeWindow(end, revisions[end], records);
      window->Resume(watermark);
    }
  }
  close(true);
  if (testing::Test::HasFatalFailure()) return;
  ASSERT_EQ(emitted, Recompute<A>(spec, values));
}

TYPED_TEST(KeyedWindowOracle, EmittedWindowsEqualRecomputation) {
  for (uint32_t seed = 1; seed <= 600; ++seed) {
    Round<TypeParam>(seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace weir
