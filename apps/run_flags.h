// apps/run_flags.h: the flags of `weir run`, as plain data. Names, meanings and defaults: docs/reference.md.
#ifndef WEIR_APPS_RUN_FLAGS_H_
#define WEIR_APPS_RUN_FLAGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apps/flag_set.h"
#include "apps/parse.h"
#include "engine/record/format.h"
#include "engine/runtime/job_options.h"
#include "engine/window/window.h"
#include "operators/registry.h"

namespace weir {

// All durations are milliseconds, kForever where `inf` is allowed.
struct RunFlags {
  enum class Progress { kAuto, kAlways, kNever };
  enum class Output { kAuto, kTable, kJsonl, kCsv, kNone };  // kAuto: table on a terminal, else jsonl

  std::vector<std::string> operators;
  // operator -> parameter -> value, defaults filled in: an entry for each operator of the run.
  std::map<std::string, std::map<std::string, std::string>> params;

  // Input: exactly one of inputs (files, "-") and brokers + topics.
  std::string brokers;
  std::vector<std::string> topics;
  std::string group;                        // never empty after ParseRunFlags
  std::vector<std::string> properties;      // -X, "KEY=VALUE" as given
  std::vector<std::string> property_files;  // -F
  int64_t connect_timeout_ms = 30'000;
  int64_t stall_timeout_ms = 60'000;
  std::vector<std::string> inputs;
  bool follow = false;
  std::optional<std::string> from, to;  // start points as given; from absent: earliest
  bool reset = false;

  // Records and time.
  std::string format = "twitter-v1";
  std::vector<FieldMapping> fields;  // --field, with --format json
  bool validate_full = false;
  int64_t batch_ms = 1'000;
  int64_t batch_records = 0;  // 0: none
  int64_t batch_bytes = 32 << 20;
  int64_t window_ms = 60'000;
  int64_t slide_ms = 60'000;  // --slide absent: the window
  TimeKind time = TimeKind::kEvent;
  std::optional<TimeField> time_field;  // absent: the format's
  int64_t watermark_delay_ms = 10'000;
  int64_t allowed_lateness_ms = 0;
  int64_t idle_timeout_ms = 10'000;
  int64_t max_future_ms = 300'000;
  int64_t max_jump_ms = 3'600'000;
  std::vector<std::string> track, langs;  // as given

  // Results.
  std::string output;  // empty: none
  bool durability_full = false;
  std::string name;                   // empty: the operator's
  std::string name_from = "--name", row_format_from = "--stdout";  // or the variables, for messages
  Output row_format = Output::kAuto;  // --stdout
  int64_t top = 0;                    // 0: all
  int64_t show = 10;

  // The process.
  int64_t workers = 0;           // >= 1 after ParseRunFlags
  int64_t max_memory_bytes = 0;  // 0: none
  int64_t limit = 0;             // 0: none
  int64_t run_for_ms = kForever;
  bool skip_lost = false;        // --on-data-loss skip
  bool verbose = false, quiet = false;
  Progress progress = Progress::kAuto;

  bool help = false;  // asked for: everything else is at its default

  bool kafka() const { return inputs.empty(); }
  bool reads_stdin() const;
  // Ends by itself: files, stdin, --to, --limit, --for.
  bool bounded() const { return (!kafka() && !follow) || to || limit > 0 || run_for_ms != kForever; }
  WindowSpec window() const { return {.window_ms = window_ms, .slide_ms = slide_ms}; }
};

// The table behind both parsing and `--help`. `verb` is "run" or "explain".
FlagTable RunFlagTable(std::span<const OperatorInfo> operators, std::string_view verb = "run");

// argv[0] is the verb. Reads the environment (WEIR_<FLAG>) where the command line is silent; a source that
// the command line names rules out the other one's variables. Syntax of each value only: call Validate next.
// Errors: kInvalidArgument.
absl::StatusOr<RunFlags> ParseRunFlags(int argc, const char* const* argv,
                                       std::span<const OperatorInfo> operators);

// What flags may not do together. Errors: kInvalidArgument.
absl::Status Validate(const RunFlags& flags);

// Worth a line to the user, but no error.
std::vector<std::string> Warnings(const RunFlags& flags);

}  // namespace weir

#endif  // WEIR_APPS_RUN_FLAGS_H_
