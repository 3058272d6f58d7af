// engine/record/projection.h: JSON documents to columns, in one forward pass.
//
// The plan is a trie of all paths that the job's operators, filters and event time ask for. A document is indexed by
// simdjson's first stage (SIMD, chosen at run time; it also checks UTF-8 and unclosed strings); one walk over that index then
// descends where the trie does and skips the rest, however many operators there are.
// Validity (docs/reference.md): "fast" checks UTF-8, strings closed, brackets balanced and of one kind, one object with a
// well-formed top level and nothing after it, depth, and the values of the fields that are read; "full" the whole of RFC 8259.
// Keys may be escaped and come in any order; of equal keys the last counts; a lone surrogate escape becomes U+FFFD.
// Cost: O(bytes) with a small constant; no allocation per record once the buffers have grown.
#ifndef WEIR_ENGINE_RECORD_PROJECTION_H_
#define WEIR_ENGINE_RECORD_PROJECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/record/chunk.h"
#include "engine/record/columns.h"
#include "engine/record/format.h"

namespace weir {

inline constexpr int kMaxJsonDepth = 1024;

struct PartitionName {
  std::string topic;
  int32_t partition;
};

// What a record is before its partition's watermark is asked.
enum class RecordKind : uint8_t { kTimed, kInvalid, kNoTime, kQuarantined };

// The columns of one chunk. Outlives the chunk's raw bytes. Reused from chunk to chunk.
struct ProjectedChunk {
  struct Record {
    PartitionIndex partition;
    RecordKind kind;
    bool filtered = false;
    int64_t offset;
    int64_t time_ms = 0;         // kTimed, kQuarantined
  };
  struct Reject {                // kInvalid, kQuarantined: for the dead letters
    uint32_t row;
    std::string reason, payload; // payload cut at kDeadLetterBytes
  };

  std::vector<Record> records;
  std::vector<Column> columns;   // as in the plan; one entry a record, absent for what is not kTimed
  std::vector<Reject> rejects;
  TextArena arena;

  std::shared_ptr<const std::vector<PartitionName>> partitions;  // by PartitionIndex

  // Set by the runtime once lateness is known: the rows that count, and the pane of each.
  std::vector<uint32_t> rows;
  std::vector<int64_t> panes;

  void Clear();
};

struct ProjectionSpec {
  std::vector<ColumnSpec> columns;
  std::vector<TimeField> times;      // event time: the first usable one; empty: times are set from elsewhere
  bool broker_time = false;          // event time is the broker's timestamp
  std::vector<std::string> track;    // ASCII lower case; one of them must be in the text column (see text_column)
  std::vector<std::string> langs;    // one of them must equal the lang column
  int text_column = -1, lang_column = -1;
  bool validate_full = false;
};

class ProjectionPlan;  // immutable, shared by all projectors

// Errors: kInvalidArgument (a path that cannot be: empty, "a..b", an unknown "@…").
absl::StatusOr<std::shared_ptr<const ProjectionPlan>> MakeProjectionPlan(ProjectionSpec spec);

// What the clock says, once a batch.
struct BatchClock {
  int64_t quarantine_after_ms;  // times beyond are quarantined
  int64_t fixed_time_ms = kNoTimestamp;  // processing time: every record's time
};

// One per worker thread; not thread-safe.
class Projector {
 public:
  explicit Projector(std::shared_ptr<const ProjectionPlan> plan);
  ~Projector();

  // Projects all records of `chunk` into an empty `out`, whose `partitions` are set.
  void Project(const Chunk& chunk, const BatchClock& clock, ProjectedChunk& out);

  // "" or why the document is not valid; for tests and `weir` diagnostics.
  std::string Judge(std::string_view document);

 private:
  class Walker;
  std::shared_ptr<const ProjectionPlan> plan_;
  std::unique_ptr<Walker> walker_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_RECORD_PROJECTION_H_
