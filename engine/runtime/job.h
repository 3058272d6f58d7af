// engine/runtime/job.h: a run, from its source to its sinks.
//
// The loop, once a micro-batch: all workers take chunks, project them, have each record's fate decided in offset order, and
// fold → advance the watermark → merge and close windows, a stage on each worker → one commit, written while the next batch is read.
#ifndef WEIR_ENGINE_RUNTIME_JOB_H_
#define WEIR_ENGINE_RUNTIME_JOB_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/record/projection.h"
#include "engine/runtime/job_options.h"
#include "engine/runtime/operator.h"
#include "engine/sink/results_file.h"
#include "engine/sink/sink.h"
#include "engine/source/source.h"

namespace weir {

// What a run has done so far; for the progress line and the summary.
struct JobReport {
  FateCounts counts;            // of this run
  int64_t bytes = 0;            // payload bytes of this run
  int64_t windows = 0;          // closed in this run, corrections included
  int64_t rows = 0;             // of those windows
  int64_t commits = 0;          // handed to the sinks
  int64_t lag = -1;             // records behind the ends of the logs; -1: not known
  int64_t watermark_ms = kNoWatermark;
  absl::Duration batch_time;    // of the last batch, from its last read to its commit being handed over
  absl::Duration elapsed;
};

// The columns that the operators, filters and event time of a job need, and where each operator finds its own.
struct ColumnPlan {
  ProjectionSpec projection;
  std::vector<std::vector<int>> columns;  // by operator, in the order of its reads
};
// Errors: kInvalidArgument (a field that the format does not have).
absl::StatusOr<ColumnPlan> PlanColumns(const JobOptions& options, const std::vector<Operator>& operators);

class Job {
 public:
  struct Parts {
    JobOptions options;
    std::vector<Operator> operators;
    std::unique_ptr<Source> source;
    std::unique_ptr<ResultsFile> results;              // may be null
    std::vector<std::unique_ptr<Sink>> sinks;          // written after the results file
    std::function<void(const JobReport&)> on_batch;    // called after each batch and each idle tick; may be null
    std::function<void(const std::string&)> on_notice; // a line for the user; may be null
  };

  // Restores what the results file holds and opens the source. Errors: those of ResultsFile::Restore, Source::Open,
  // PlanColumns.
  static absl::StatusOr<std::unique_ptr<Job>> Create(Parts parts);
  ~Job();

  // Until the input ends, a limit is reached, or Stop. The last batch is committed. Errors: those of the source and the sinks.
  absl::Status Run();

  // Ends the run after what has been read is committed; closes no window early. Thread: any.
  void Stop();

  const JobReport& report() const;

 private:
  class Impl;
  explicit Job(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_RUNTIME_JOB_H_
