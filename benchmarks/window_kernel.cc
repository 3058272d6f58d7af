// How fast does a keyed value go through the window kernel: folded into its pane, panes merged into the sliding total, windows
// closed? 100,000 keys, zipf 1; the window is W/S slides long. Rows are emitted for a window but not written anywhere.
//
// Keys lie in memory in the order of their arrival, as those of a projected chunk do. Records per pane are the same for all W/S, so that only the window's length differs.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/window/keyed_window.h"

namespace weir {
namespace {

constexpr size_t kKeys = 100'000;
constexpr size_t kRecords = 4'000'000;
constexpr size_t kRecordsPerBatch = 65'536;
constexpr size_t kRecordsPerPane = 200'000;

// The keys of all records, one behind the other. Zipf with exponent 1 by inversion of its cumulative distribution.
struct Stream {
  std::string bytes;
  std::vector<std::string_view> keys;
};

const Stream& Records() {
  static const auto* const stream = [] {
    std::vector<double> cumulative(kKeys);
    double sum = 0;
    for (size_t i = 0; i < kKeys; ++i) cumulative[i] = sum += 1.0 / static_cast<double>(i + 1);
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(0, sum);
    auto* made = new Stream;
    std::vector<size_t> ends;
    for (size_t i = 0; i < kRecords; ++i) {
      const auto rank = std::lower_bound(cumulative.begin(), cumulative.end(), uniform(random)) - cumulative.begin();
      made->bytes += "user_" + std::to_string(rank * 7919 % 1'000'003);
      ends.push_back(made->bytes.size());
    }
    for (size_t i = 0, begin = 0; i < kRecords; begin = ends[i++])
      made->keys.emplace_back(made->bytes.data() + begin, ends[i] - begin);
    return made;
  }();
  return *stream;
}

template <Aggregate A>
void Kernel(benchmark::State& state) {
  const int64_t ratio = state.range(0);
  const auto& keys = Records().keys;
  using Clock = std::chrono::steady_clock;
  int64_t rows = 0, windows = 0;
  double closing = 0, worst = 0, all = 0;  // seconds
  for (auto _ : state) {
    const auto begin = Clock::now();
    KeyedWindow<A> window({.spec = {.window_ms = ratio * 1000, .slide_ms = 1000}});
    PaneDeltas<A> deltas;
    std::vector<WindowRows> closed;
    std::vector<PaneBlob> blobs;
    for (size_t at = 0; at < kRecords;) {
      const size_t end = std::min(at + kRecordsPerBatch, kRecords);
      for (; at < end; ++at) deltas.Add(static_cast<int64_t>(at / kRecordsPerPane), keys[at], 1);
      window.Merge(deltas, blobs);
      deltas.Clear();
      const int64_t watermark = static_cast<int64_t>(at / kRecordsPerPane) * 1000;
      const auto before = Clock::now();
      window.Close(watermark, false, closed, blobs);
      window.Release(watermark);
      const double took = std::chrono::duration<double>(Clock::now() - before).count();
      closing += took;
      worst = std::max(worst, took);
      for (const WindowRows& w : closed) {
        rows += static_cast<int64_t>(w.rows.size());
        ++windows;
      }
      closed.clear();
    }
    all += std::chrono::duration<double>(Clock::now() - begin).count();
  }
  // Folding and merging alone, and what a closing costs: pane in, pane out, new keys sorted, rows emitted.
  state.counters["fold_Mrec_per_s"] = static_cast<double>(state.iterations()) * kRecords / (all - closing) / 1e6;
  state.counters["close_ms"] = windows == 0 ? 0 : closing / static_cast<double>(windows) * 1e3;
  state.counters["close_max_ms"] = worst * 1e3;
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRecords));
  state.counters["rows/window"] = windows == 0 ? 0 : static_cast<double>(rows) / static_cast<double>(windows);
}

BENCHMARK(Kernel<Count>)->ArgName("W/S")->Arg(1)->Arg(60)->Arg(600)->Unit(benchmark::kMillisecond);
BENCHMARK(Kernel<Max>)->ArgName("W/S")->Arg(1)->Arg(60)->Arg(600)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
