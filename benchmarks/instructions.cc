// Small fixed workloads for counting instructions: tests/instructions_test.py runs each under valgrind and compares the count
// with the stored one, so that a change that makes a kernel slower is seen on any machine, however busy.
//
//   instructions KERNEL        one of the names that `instructions` prints
//
// Everything that could make a count wander is fixed: inputs by seed, the hash salt (defined here instead of
// engine/window/hash_salt.cc), simdjson's implementation. What counts is what runs inside Measured().
#include <simdjson.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apps/tweet_generator.h"
#include "engine/record/event_time.h"
#include "engine/record/projection.h"
#include "engine/sink/results_file.h"
#include "engine/window/keyed_window.h"
#include "operators/formats.h"

namespace weir {
extern const uint64_t kHashSalt;
const uint64_t kHashSalt = 0x9e3779b97f4a7c15;
}  // namespace weir

// The counter is on while this function runs: a name that valgrind can be told.
#ifdef __clang__
#define WEIR_KEPT_APART __attribute__((noinline))
#else
#define WEIR_KEPT_APART __attribute__((noipa))
#endif
extern "C" WEIR_KEPT_APART void Measured(const std::function<void()>& work) {
  work();
  asm volatile("" ::: "memory");  // no tail call
}

namespace weir {
namespace {

// The same numbers whatever the library.
class Random {
 public:
  uint32_t operator()(uint32_t below) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state_ >> 33) % below);
  }

 private:
  uint64_t state_ = 7;
};

// A few keys come often, most of them seldom.
std::string SkewedKey(Random& random) {
  uint32_t bound = 4000;
  for (int i = random(4); i > 0; --i) bound = bound / 6 + 1;
  return "key_" + std::to_string(random(bound) * 7919);
}

template <class Table>
std::unique_ptr<Table> MakePane(Random& random, int values) {
  auto pane = std::make_unique<Table>();
  for (int i = 0; i < values; ++i) {
    const std::string key = SkewedKey(random);
    pane->FindOrAdd(key, HashKey(key), 0).value += 1 + random(9);
  }
  return pane;
}

void Project() {
  TweetGeneratorOptions options;
  options.count = 1500;
  auto tweets = TweetGenerator::Create(options).value();
  Chunk chunk;
  std::string line;
  for (int64_t offset = 0; tweets->Next(line); ++offset) {
    const size_t at = chunk.Append(line);
    chunk.records.push_back({.begin = at, .size = static_cast<uint32_t>(line.size()), .partition = 0, .offset = offset});
  }
  ProjectionSpec spec;
  spec.times = TwitterV1().times;
  spec.columns.push_back({ColumnType::kText, TwitterV1().Find("location")->paths});
  for (const char* list : {"mentions", "hashtags"}) spec.columns.push_back({ColumnType::kTextList, TwitterV1().Find(list)->paths});
  Projector projector(MakeProjectionPlan(spec).value());
  ProjectedChunk out;
  out.partitions = std::make_shared<std::vector<PartitionName>>(1, PartitionName{"tweets", 0});
  const BatchClock clock{.quarantine_after_ms = INT64_MAX};
  projector.Project(chunk, clock, out);  // buffers grow now
  out.Clear();
  Measured([&] { projector.Project(chunk, clock, out); });
}

void ParseTimes() {
  const std::vector<std::pair<std::string, TimeEncoding>> times = {{"Wed Aug 27 13:08:45 +0000 2008", TimeEncoding::kAuto},
                                                                   {"2015-04-30T21:34:00.123Z", TimeEncoding::kAuto},
                                                                   {"1430429640123", TimeEncoding::kAuto},
                                                                   {"1430429640", TimeEncoding::kAuto}};
  int64_t sum = 0;
  Measured([&] {
    for (int i = 0; i < 20'000; ++i)
      for (const auto& [text, encoding] : times) sum += ParseTimeString(text, encoding).value_or(0);
  });
  if (sum == 0) std::abort();
}

void Fold() {
  Random random;
  std::vector<std::string> keys;
  for (int i = 0; i < 100'000; ++i) keys.push_back(SkewedKey(random));
  KeyedWindow<Count> window({.spec = {.window_ms = 60'000, .slide_ms = 1'000}});
  PaneDeltas<Count> deltas;
  std::vector<PaneBlob> blobs;
  Measured([&] {
    for (size_t at = 0; at < keys.size();) {
      for (const size_t end = at + 10'000; at < end; ++at) deltas.Add(static_cast<int64_t>(at / 25'000), keys[at], 1);
      window.Merge(deltas, blobs);
      deltas.Clear();
    }
  });
}

// Panes pass through a window of 12, which is emitted after each.
template <class A, class Sliding>
void Slide() {
  using Table = KeyTable<typename A::Partial>;
  Random random;
  std::vector<std::unique_ptr<Table>> panes;
  for (int i = 0; i < 60; ++i) panes.push_back(MakePane<Table>(random, 1'500));
  Sliding sliding(12);
  int64_t sum = 0;
  Measured([&] {
    for (size_t i = 0; i < panes.size(); ++i) {
      if (i >= 12) sliding.Leave(*panes[i - 12]);
      sliding.Enter(*panes[i]);
      sliding.ForEach(true, [&](std::string_view, const auto& partial) { sum += A::Lower(partial); });
    }
  });
  if (sum == 0) std::abort();
}

void Rows() {
  char folder[] = "/tmp/weir-instructions-XXXXXX";
  if (::mkdtemp(folder) == nullptr) std::abort();
  const std::string path = std::string(folder) + "/results.db";
  {
    ResultsOptions options;
    options.path = path;
    options.tables = {{"counts", "key", "value"}};
    auto file = ResultsFile::Open(options).value();
    std::vector<Commit> commits(20);
    for (size_t c = 0; c < commits.size(); ++c) {
      commits[c].job_watermark_ms = static_cast<int64_t>(c) * 1000;
      ClosedWindow window{0, static_cast<int64_t>(c) * 1000, static_cast<int64_t>(c) * 1000 + 60'000, 0, 5'000, 2'000, {}};
      for (int i = 0; i < 2'000; ++i) window.rows.Add("key_" + std::to_string(10'000 + i), i % 97 + 1);
      commits[c].windows.push_back(std::move(window));
    }
    Measured([&] {
      for (const Commit& commit : commits)
        if (!file->Write(commit).ok()) std::abort();
    });
    if (!file->Close().ok()) std::abort();
  }
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) ::unlink((path + suffix).c_str());
  ::rmdir(folder);
}

void Blobs() {
  Random random;
  const auto pane = MakePane<KeyTable<int64_t>>(random, 40'000);
  Measured([&] {
    for (int i = 0; i < 20; ++i) {
      const std::string blob = EncodePane<Count>(*pane, 40'000);
      KeyTable<int64_t> back;
      int64_t records = 0;
      if (!DecodePane<Count>(blob, back, records) || back.size() != pane->size()) std::abort();
    }
  });
}

const std::map<std::string, void (*)()>& Kernels() {
  static const auto* const kernels = new std::map<std::string, void (*)()>{
      {"projection", Project},
      {"event_time", ParseTimes},
      {"fold", Fold},
      {"running_total", Slide<Count, RunningTotal<Count>>},
      {"two_stacks", Slide<Max, TwoStacks<Max>>},
      {"rows", Rows},
      {"state_blobs", Blobs},
  };
  return *kernels;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const auto& [name, run] : weir::Kernels()) std::puts(name.c_str());
    return 0;
  }
  const auto kernel = weir::Kernels().find(argv[1]);
  if (argc > 2 || kernel == weir::Kernels().end()) {
    std::fprintf(stderr, "usage: instructions [KERNEL]   (without: their names)\n");
    return 2;
  }
  // What every x86-64 machine of the last decade has, and valgrind too.
  if (const auto* westmere = simdjson::get_available_implementations()["westmere"]; westmere != nullptr)
    simdjson::get_active_implementation() = westmere;
  kernel->second();
}
