// How fast does a keyed value go through the window kernel once the window is full? Folded into its batch, merged into its pane,
// the pane entered into the sliding total, and the oldest one taken out again. 100,000 keys, zipf 1; a window of W/S panes of
// 200,000 values each, so that only the window's length differs.
//
// One iteration is one slide in steady state: W/S panes have passed before the clock starts, and as many pass while it runs (100
// at least), so that each pane leaves and each shard of TwoStacks turns over at its turn. Rows are timed apart from the kernel:
//
//   items_per_second       values through the whole kernel: fold, merge, pane enters, pane leaves
//   fold_per_second        fold and merge alone
//   close_ms, close_max_ms closing: pane enters, pane leaves, totals brought up to date; rows not yet written
//   emit_ms                all rows of the window in key order, into a RowTable
//
// The limit beside it, CountByHash: the same keys hashed, and one counter in 128 K of them added to. No key is compared or kept.
//
// Keys lie in memory in the order of their arrival, as those of a projected chunk do.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/window/keyed_window.h"

namespace weir {
namespace {

constexpr size_t kKeys = 100'000;
constexpr size_t kRecordsPerBatch = 50'000;
constexpr size_t kRecordsPerPane = 200'000;
// No multiple of a pane: read again and again from the beginning, no pane is the same as one before.
constexpr size_t kRecords = 4'100'003;

// The keys of all records, one behind the other. Zipf with exponent 1 by inversion of its cumulative distribution.
class Stream {
 public:
  Stream() {
    std::vector<double> cumulative(kKeys);
    double sum = 0;
    for (size_t i = 0; i < kKeys; ++i) cumulative[i] = sum += 1.0 / static_cast<double>(i + 1);
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(0, sum);
    std::vector<size_t> ends;
    for (size_t i = 0; i < kRecords; ++i) {
      const auto rank = std::lower_bound(cumulative.begin(), cumulative.end(), uniform(random)) - cumulative.begin();
      bytes_ += "user_" + std::to_string(rank * 7919 % 1'000'003);
      ends.push_back(bytes_.size());
    }
    for (size_t i = 0, begin = 0; i < kRecords; begin = ends[i++]) keys_.emplace_back(bytes_.data() + begin, ends[i] - begin);
  }
  Stream(const Stream&) = delete;

  std::string_view Next() {
    const std::string_view key = keys_[at_];
    if (++at_ == kRecords) at_ = 0;
    return key;
  }

 private:
  std::string bytes_;
  std::vector<std::string_view> keys_;
  size_t at_ = 0;
};

Stream& Records() {
  static auto* const stream = new Stream;
  return *stream;
}

using Clock = std::chrono::steady_clock;
double Seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

// What KeyedWindow does with a batch and with a window that closes, in steps that can be timed one by one.
template <Aggregate A>
class SteadyWindow {
 public:
  using Table = KeyTable<typename A::Partial>;

  explicit SteadyWindow(size_t window_panes) : window_panes_(window_panes), sliding_(static_cast<int64_t>(window_panes)) {}

  void FoldAndMerge() {
    Table& pane = panes_.emplace_back();
    for (size_t folded = 0; folded < kRecordsPerPane; folded += kRecordsPerBatch) {
      for (size_t i = 0; i < kRecordsPerBatch; ++i) deltas_.Add(0, Records().Next(), static_cast<int64_t>(i));
      for (size_t d = 0; d < deltas_.size(); ++d)
        ForEachEntry(deltas_[d].table, pane,
                     [&](const auto& e) { A::Combine(e.value, pane.FindOrAdd(e.key(), e.hash, A::kIdentity).value); });
      deltas_.Clear();
    }
  }
  void Slide() {
    if (panes_.size() > window_panes_) {
      sliding_.Leave(panes_.front());
      panes_.pop_front();
    }
    sliding_.Enter(panes_.back());
    panes_.back().Seal();
  }
  size_t Emit() {
    RowTable rows;
    rows.Reserve(sliding_.keys(), sliding_.key_bytes());
    sliding_.ForEach(true, [&rows](std::string_view key, const typename A::Partial& p) { rows.Add(key, A::Lower(p)); });
    benchmark::DoNotOptimize(rows);
    return rows.size();
  }
  size_t pane_keys() const { return panes_.back().size(); }

 private:
  const size_t window_panes_;
  PaneDeltas<A> deltas_;
  std::deque<Table> panes_;
  typename SlidingOf<A>::type sliding_;
};

template <Aggregate A>
void Kernel(benchmark::State& state) {
  const auto panes = static_cast<size_t>(state.range(0));
  SteadyWindow<A> window(panes);
  for (size_t i = 0; i < panes; ++i) {
    window.FoldAndMerge();
    window.Slide();
    window.Emit();
  }
  double folding = 0, closing = 0, worst = 0, emitting = 0;
  size_t rows = 0, entries = 0;
  for (auto _ : state) {
    const auto begin = Clock::now();
    window.FoldAndMerge();
    const auto folded = Clock::now();
    window.Slide();
    const auto closed = Clock::now();
    rows += window.Emit();
    emitting += Seconds(Clock::now() - closed);
    entries += window.pane_keys();
    folding += Seconds(folded - begin);
    closing += Seconds(closed - folded);
    worst = std::max(worst, Seconds(closed - folded));
    state.SetIterationTime(Seconds(closed - begin));
  }
  const auto slides = static_cast<double>(state.iterations());
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRecordsPerPane));
  state.counters["fold_per_second"] = slides * kRecordsPerPane / folding;
  state.counters["close_ms"] = closing / slides * 1e3;
  state.counters["close_max_ms"] = worst * 1e3;
  state.counters["emit_ms"] = emitting / slides * 1e3;
  state.counters["rows/window"] = static_cast<double>(rows) / slides;
  state.counters["keys/pane"] = static_cast<double>(entries) / slides;
}
// Iterations are fixed: each is a slide, and W/S of them make every pane leave once.
#define STEADY(aggregate, ratio, slides) \
  BENCHMARK(Kernel<aggregate>)->ArgName("W/S")->Arg(ratio)->Iterations(slides)->UseManualTime()->Unit(benchmark::kMillisecond)
STEADY(Count, 1, 100);
STEADY(Count, 60, 120);
STEADY(Count, 600, 600);
STEADY(Max, 1, 100);
STEADY(Max, 60, 120);
STEADY(Max, 600, 600);

void CountByHash(benchmark::State& state) {
  std::vector<int64_t> counts(128 * 1024);
  for (auto _ : state)
    for (size_t i = 0; i < kRecordsPerPane; ++i) ++counts[HashKey(Records().Next()) % counts.size()];
  benchmark::DoNotOptimize(counts);
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRecordsPerPane));
}
BENCHMARK(CountByHash)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
