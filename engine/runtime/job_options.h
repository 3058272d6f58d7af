// engine/runtime/job_options.h: everything about a run but its source, operators and sinks.
#ifndef WEIR_ENGINE_RUNTIME_JOB_OPTIONS_H_
#define WEIR_ENGINE_RUNTIME_JOB_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/record/format.h"
#include "engine/window/window.h"

namespace weir {

enum class TimeKind { kEvent, kKafka, kProcessing };

struct JobOptions {
  // What the records mean. A change of any of these makes another job.
  Format format;                           // canonical field -> JSON paths, event time fields
  WindowSpec window;                       // --window, --slide
  TimeKind time = TimeKind::kEvent;
  int64_t watermark_delay_ms = 10'000;     // kForever: windows close at the end of the run
  int64_t allowed_lateness_ms = 0;
  int64_t idle_timeout_ms = 10'000;
  int64_t max_future_ms = 300'000;         // kForever: no limit
  int64_t max_jump_ms = 3'600'000;         // kForever: no limit
  bool validate_full = false;
  std::vector<std::string> track;          // ASCII lower case; empty: all records
  std::vector<std::string> langs;          // empty: all records
  size_t top = 0;                          // 0: all

  // How it runs. Free to change between runs.
  absl::Duration batch = absl::Seconds(1);
  int64_t batch_records = 0;               // 0: none
  size_t batch_bytes = 32 << 20;
  int workers = 1;
  int64_t limit = 0;                       // records consumed in this run; 0: none
  absl::Duration run_for = absl::InfiniteDuration();
};

}  // namespace weir

#endif  // WEIR_ENGINE_RUNTIME_JOB_OPTIONS_H_
