// How fast do documents become columns? Generated tweets in memory, chunk by chunk; one, two and three operators' fields, and
// "full" validation. The limit beside it: simdjson's first stage alone over the same bytes.
#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <memory>
#include <string>
#include <vector>

#include "apps/tweet_generator.h"
#include "engine/record/projection.h"
#include "operators/formats.h"

namespace weir {
namespace {

const std::vector<std::unique_ptr<Chunk>>& Chunks() {
  static const auto* const chunks = [] {
    TweetGeneratorOptions options;
    options.count = 20'000;
    auto tweets = TweetGenerator::Create(options).value();
    auto* made = new std::vector<std::unique_ptr<Chunk>>;
    std::string line;
    int64_t offset = 0;
    while (tweets->Next(line)) {
      if (made->empty() || made->back()->size() > 128 * 1024) made->push_back(std::make_unique<Chunk>());
      Chunk& chunk = *made->back();
      const size_t at = chunk.Append(line);
      chunk.Append("\n");
      chunk.records.push_back({.begin = at, .size = static_cast<uint32_t>(line.size()), .partition = 0, .offset = offset++});
    }
    return made;
  }();
  return *chunks;
}

int64_t Bytes() {
  int64_t bytes = 0;
  for (const auto& chunk : Chunks()) bytes += static_cast<int64_t>(chunk->size());
  return bytes;
}

void Project(benchmark::State& state) {
  ProjectionSpec spec;
  spec.times = TwitterV1().times;
  spec.validate_full = state.range(1) != 0;
  const char* const fields[] = {"location", "mentions", "hashtags"};
  for (int64_t i = 0; i < state.range(0); ++i)
    spec.columns.push_back({i == 0 ? ColumnType::kText : ColumnType::kTextList, TwitterV1().Find(fields[i])->paths});
  Projector projector(MakeProjectionPlan(spec).value());
  ProjectedChunk out;
  out.partitions = std::make_shared<std::vector<PartitionName>>(1, PartitionName{"tweets", 0});
  for (auto _ : state)
    for (const auto& chunk : Chunks()) {
      out.Clear();
      projector.Project(*chunk, {.quarantine_after_ms = INT64_MAX}, out);
    }
  state.SetBytesProcessed(state.iterations() * Bytes());
}
BENCHMARK(Project)->ArgNames({"fields", "full"})->Args({1, 0})->Args({2, 0})->Args({3, 0})->Args({3, 1})->Unit(benchmark::kMillisecond);

void FirstStageOnly(benchmark::State& state) {
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
  if (simdjson::get_active_implementation()->create_dom_parser_implementation(1 << 20, 1, parser) != simdjson::SUCCESS) return;
  for (auto _ : state)
    for (const auto& chunk : Chunks())
      for (const RawRecord& r : chunk->records) {
        const std::string_view json = chunk->payload(r);
        benchmark::DoNotOptimize(
            parser->stage1(reinterpret_cast<const uint8_t*>(json.data()), json.size(), simdjson::stage1_mode::regular));
      }
  state.SetBytesProcessed(state.iterations() * Bytes());
}
BENCHMARK(FirstStageOnly)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
