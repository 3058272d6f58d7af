// engine/sink/results_file.h: results, progress and state of a job in one SQLite file.
//
// The file at commit N *is* the engine at commit N: rows, window ledger, next offsets, watermarks and pane deltas of one
// batch go into one transaction. A run that ended anyhow, also by a kill or a power cut, is gone on with from there.
// Tables for users: docs/reference.md, "Results". The rest (weir_meta, weir_partitions, weir_state) is weir's own.
//
// One writer: an flock on PATH.lock keeps a second process out, and an epoch that every commit checks fences one that got in
// all the same. Readers are never blocked (WAL), and see whole commits only.
#ifndef WEIR_ENGINE_SINK_RESULTS_FILE_H_
#define WEIR_ENGINE_SINK_RESULTS_FILE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/sink/sink.h"

namespace weir {

inline constexpr uint32_t kResultsApplicationId = 0x77656972;  // "weir"

struct ResultsTable {
  std::string table;       // named like the operator, or --name; also what weir's own tables call the operator
  std::string key, value;  // columns
};

struct ResultsOptions {
  std::string path;
  std::vector<ResultsTable> tables;  // by operator index
  // What makes this job this job, in words that the user knows (flag or "operators" -> value). A file with other values is
  // refused, with the difference. Never secrets. "--name", or else "operators" (comma-separated), names the tables that a
  // reset drops.
  std::vector<std::pair<std::string, std::string>> job;
  bool reset = false;
  bool durability_full = false;      // synchronous=FULL
};

class ResultsFile final : public Sink {
 public:
  // Opens or creates. What an earlier run left stays as it is until Begin. Errors: kUnknown (cannot be opened or created, damaged, not a database: 74), kAborted (another process
  // holds it: 75), kFailedPrecondition (another program's or another job's file: 78). The file is untouched then.
  static absl::StatusOr<std::unique_ptr<ResultsFile>> Open(ResultsOptions options);
  ~ResultsFile() override;

  // Once everything else of the run is known to be there: with `reset` what the file holds of the job goes away now; from here
  // on commits of an earlier holder fail. The first Write does it too. Errors: as Write.
  absl::Status Begin();

  // What the last commit left; nothing, with `reset`. Call before Begin.
  struct Restored {
    std::vector<PartitionProgress> partitions;
    int64_t job_watermark_ms;
    struct Window {
      uint32_t op;
      int64_t end_ms, revision, records;
    };
  };
  // `pane` is called for each blob (false: damaged, which ends it with kUnknown); `window` for each closed window with
  // end > watermark - allowed_lateness_ms, which may still change.
  absl::StatusOr<Restored> Restore(int64_t allowed_lateness_ms,
                                   const std::function<bool(uint32_t op, int64_t pane, std::string_view blob)>& pane,
                                   const std::function<void(const Restored::Window&)>& window);

  // Errors: kResourceExhausted (disk full), kUnknown (I/O), kAborted (locked by another process), all three after retries;
  // kAborted too when another process has taken the file over.
  // Nothing of the commit is in the file then.
  absl::Status Write(const Commit& commit) override;
  absl::Status Close() override;

 private:
  class Impl;
  explicit ResultsFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_SINK_RESULTS_FILE_H_
