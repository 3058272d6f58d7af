// engine/source/source.h: where records enter.
//
// A source is a set of partitions, each an ordered log of records with ascending offsets. It owns no progress: the
// engine says where each partition starts (from the results file or from --from), and stores where it stands.
#ifndef WEIR_ENGINE_SOURCE_SOURCE_H_
#define WEIR_ENGINE_SOURCE_SOURCE_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/record/chunk.h"

namespace weir {

// Where a partition stands; what a commit stores and a later run resumes from.
struct PartitionPosition {
  std::string topic;          // Kafka topic, or the input path as given
  int32_t partition = 0;
  int64_t first_offset = 0;   // the first offset that this job ever asked for
  int64_t next_offset = 0;    // the next one to read
  std::string cursor;         // the source's own: a file's byte position, size, checksum of the last record, …
};

struct PartitionState {
  PartitionPosition position;
  int64_t end_offset = -1;    // log-end offset when last seen, -1 unknown; lag = end_offset - next_offset
  bool caught_up = false;     // everything that was there when last looked has been handed over
  bool ended = false;         // a bounded partition has been read to its end
  bool reachable = true;      // false while its broker does not answer: whether it has more is not known then
};

// Offsets that the source passes over because their records are lost: [first_offset, next_offset). Empty where records were
// lost whose number nobody knows (the log became another one).
struct DataGap {
  PartitionIndex partition;
  int64_t first_offset, next_offset;
  std::string reason;  // a clause that ends a sentence
};

// What a source does when records that were not read yet are lost.
enum class OnDataLoss {
  kFail,  // ends with kDataLoss
  kSkip,  // goes on behind them, and declares a gap
};

struct PollLimits {
  int64_t max_records;        // > 0
  size_t max_bytes;           // > 0; a single record may exceed it
  absl::Time deadline;        // return by then, also without records
};

class Source {
 public:
  virtual ~Source() = default;

  // Opens everything and finds the partitions. `resume`: what the results file knows. Called once, before Poll.
  // Errors: kNotFound (an input cannot be opened: exit 66), kUnavailable (broker or topic not reachable in time: 69),
  // kDataLoss (records not yet read are gone or were changed: 3; not with OnDataLoss::kSkip), kFailedPrecondition (cannot be resumed: 78),
  // kInvalidArgument (2).
  virtual absl::Status Open(const std::vector<PartitionPosition>& resume) = 0;

  // Appends records to an empty `chunk`: at least one unless the deadline passed, the source ended, or Interrupt was
  // called; at most `limits`. Stops near Chunk::kTargetBytes. Reads the partitions of a backlog evenly.
  // Thread: any, one at a time. Errors: kDataLoss, kNotFound as above, kDeadlineExceeded (a partition has more, and stands
  // still: 5); a passing outage is no error.
  virtual absl::Status Poll(const PollLimits& limits, Chunk& chunk) = 0;

  // Positions after the last Poll. Grows when partitions appear; an index never changes its meaning.
  // Thread: the engine's, while no Poll is under way.
  virtual const std::deque<PartitionState>& partitions() const = 0;

  // Gaps declared since last asked. The positions are behind them already: the engine commits both at once.
  // Thread: the engine's, while no Poll is under way.
  virtual std::vector<DataGap> TakeGaps() { return {}; }

  // True when every partition is bounded and read to its end: nothing will come any more.
  virtual bool ended() const = 0;

  // True for an input that ends by itself (files without follow, stdin, --to).
  virtual bool bounded() const = 0;
  // True when a partition that is caught up may be left out of the job's watermark after the idle timeout: false when
  // all partitions are regular files without follow, or bounded by --to.
  virtual bool may_idle() const = 0;
  // True when the watermark may go on with the wall clock while all is silent: Kafka, followed files.
  virtual bool advances_when_idle() const = 0;

  // A running Poll, and every later one, returns soon. Thread: any, also a signal-handling thread.
  virtual void Interrupt() = 0;

  // Told after a commit: Kafka passes the offsets on to its group, for lag tools. Best effort. Thread: the engine's.
  virtual void Committed(const std::vector<PartitionPosition>& positions) { (void)positions; }

  // Things worth one line to the user (a broker went away, a regular expression matches nothing yet), since last asked.
  virtual std::vector<std::string> TakeNotices() { return {}; }
};

}  // namespace weir

#endif  // WEIR_ENGINE_SOURCE_SOURCE_H_
