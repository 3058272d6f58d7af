// engine/sink/sink.h: what one commit holds, and where it goes.
#ifndef WEIR_ENGINE_SINK_SINK_H_
#define WEIR_ENGINE_SINK_SINK_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/source/source.h"
#include "engine/window/row_table.h"

namespace weir {

struct ClosedWindow {
  uint32_t op;             // index into the job's operators
  int64_t start_ms, end_ms;
  int64_t revision;        // 0 at first closing
  int64_t records;         // keyed values folded into it
  int64_t keys;            // before --top
  RowTable rows;
};

// Counters of one partition since the job began (contract, weir_progress).
struct FateCounts {
  int64_t consumed = 0, aggregated = 0, filtered = 0, skipped = 0, late = 0, invalid = 0, quarantined = 0, duplicates = 0,
          gap = 0;
};

struct PartitionProgress {
  PartitionPosition position;
  FateCounts counts;
  int64_t watermark_ms;        // kNoWatermark: none yet
  std::string tracker;         // PartitionWatermark::Save
  int64_t last_record_ms = 0;  // wall clock when its last record came: its silence is measured across runs
};

struct StateWrite {            // one pane's delta since the last commit, or (replace) all of it
  uint32_t op;
  int64_t pane;
  bool replace;
  std::string blob;
};

struct LateRecord {
  std::string topic;
  int32_t partition;
  int64_t offset, event_time_ms;
  bool idle;                   // late only because its partition had been declared idle
};

struct DeadLetter {
  std::string topic;
  int32_t partition;
  int64_t offset;
  std::string reason, payload; // payload cut at kDeadLetterBytes
};

struct LostRange {             // a DataGap, by name
  std::string topic;
  int32_t partition;
  int64_t first_offset, next_offset;
  std::string reason;
};

// Late records and dead letters that the results file keeps; a commit may bring more.
inline constexpr size_t kKeptRejects = 10'000;

struct Commit {
  std::vector<ClosedWindow> windows;      // by operator, then ascending end
  std::vector<PartitionProgress> partitions;  // those that changed
  std::vector<StateWrite> state;
  int64_t release_before_pane = INT64_MIN;    // panes below are no longer needed by any operator
  int64_t job_watermark_ms;
  bool all_closed = false;                    // the end of the input closed all windows, whatever the watermark
  std::vector<LateRecord> late;
  std::vector<DeadLetter> dead_letters;
  std::vector<LostRange> gaps;
  bool empty() const {
    return windows.empty() && partitions.empty() && state.empty() && late.empty() && dead_letters.empty() && gaps.empty();
  }
};

// Thread: all calls on one thread, not necessarily the one that made it.
class Sink {
 public:
  virtual ~Sink() = default;
  // All of `commit` or nothing. Returns once it is as durable as the sink promises.
  virtual absl::Status Write(const Commit& commit) = 0;
  // No more commits. Errors: what could not be finished.
  virtual absl::Status Close() { return absl::OkStatus(); }
};

}  // namespace weir

#endif  // WEIR_ENGINE_SINK_SINK_H_
