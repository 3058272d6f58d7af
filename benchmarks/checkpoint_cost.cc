// What does the state in the results file cost? One file through three operators, W = 60 s, S = 30 s, one worker: with the
// state that a restart needs, and the same rows without it, in turn. The results file is a Sink like others: given as one, it
// gets rows and progress, and no state is made for it.
//
//   checkpoint_cost FILE RESULTS [RUNS]      RESULTS is written, and removed
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "engine/runtime/job.h"
#include "engine/sink/results_file.h"
#include "engine/source/file_source.h"
#include "operators/formats.h"
#include "operators/registry.h"

namespace {

struct Cost {
  double wall_s, cpu_s;
};

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void Remove(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) ::unlink((path + suffix).c_str());
}

absl::StatusOr<Cost> Run(const std::string& input, const std::string& output, bool with_state) {
  Remove(output);
  weir::Job::Parts parts;
  weir::ResultsOptions results;
  results.path = output;
  for (const char* name : {"tweets_by_location", "user_mentions", "hashtags"}) {
    const weir::OperatorInfo* const info = weir::FindOperator(name);
    std::map<std::string, std::string> values;
    for (const weir::OperatorParam& param : info->params) values[param.name] = param.default_value;
    auto made = info->make(values);
    if (!made.ok()) return made.status();
    results.tables.push_back({made->name, made->key_column, made->value_column});
    parts.operators.push_back(*std::move(made));
  }
  parts.options.format = weir::TwitterV1();
  parts.options.window = {.window_ms = 60'000, .slide_ms = 30'000};
  auto source = weir::FileSource::Create({.paths = {input}});
  if (!source.ok()) return source.status();
  parts.source = *std::move(source);
  auto file = weir::ResultsFile::Open(std::move(results));
  if (!file.ok()) return file.status();
  if (with_state) parts.results = *std::move(file);
  else parts.sinks.push_back(*std::move(file));

  const double cpu = CpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  auto job = weir::Job::Create(std::move(parts));
  if (!job.ok()) return job.status();
  const absl::Status status = (*job)->Run();
  if (!status.ok()) return status;
  return Cost{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), CpuSeconds() - cpu};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 3 ? std::atoi(argv[3]) : 5;
  if (argc < 3 || runs < 1) {
    std::fprintf(stderr, "usage: checkpoint_cost FILE RESULTS [RUNS]\n");
    return 2;
  }
  std::vector<double> wall[2], cpu[2];
  for (int run = -1; run < runs; ++run) {  // the first is not counted
    for (const bool with_state : {false, true}) {
      const absl::StatusOr<Cost> cost = Run(argv[1], argv[2], with_state);
      Remove(argv[2]);
      if (!cost.ok()) {
        std::fprintf(stderr, "checkpoint_cost: %s\n", std::string(cost.status().message()).c_str());
        return 1;
      }
      if (run < 0) continue;
      wall[with_state].push_back(cost->wall_s);
      cpu[with_state].push_back(cost->cpu_s);
    }
  }
  std::printf("{\"with_state_s\":%.4f,\"without_s\":%.4f,\"with_state_cpu_s\":%.4f,\"without_cpu_s\":%.4f}\n", Median(wall[1]),
              Median(wall[0]), Median(cpu[1]), Median(cpu[0]));
}
