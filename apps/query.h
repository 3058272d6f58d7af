// apps/query.h: `weir query DB [SQL]`: a results file, read-only, as a table, jsonl or csv.
#ifndef WEIR_APPS_QUERY_H_
#define WEIR_APPS_QUERY_H_

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "engine/sink/row_writer.h"

namespace weir {

struct QueryOptions {
  std::string path;
  std::optional<std::string> sql = {};   // one read-only statement; none: each operator's newest window
  std::optional<RowFormat> format = {};  // none: table on a terminal, else jsonl
  std::optional<bool> terminal = {};     // none: what isatty says of `out`
  std::optional<bool> color = {};        // none: on a terminal, unless NO_COLOR is set
  size_t show = 0;                       // table, without SQL: rows per window; 0: all
  int busy_timeout_ms = 5'000;
  // Set by a signal handler to end a long query. None: SIGINT does what it does, which harms nothing here.
  const std::atomic<bool>* interrupt = nullptr;
};

// Reads while a job runs, and after it was killed: results of whole commits only, all from the same one.
// Writes nothing to the database; SQL that would is refused, and so is ATTACH. Notes for the user go to
// `err`.
// Errors: kInvalidArgument (the SQL, or csv for several operators), kFailedPrecondition (the file is
// another program's, or holds other tables than expected), kCancelled (interrupted), kUnknown (missing,
// unreadable, damaged, locked, not a database; `out` failed). A reader of `out` that went away is no error.
absl::Status Query(const QueryOptions& options, std::FILE* out, std::FILE* err);

// Query, with the error on `err`. Returns the exit code: 0, 2, 74, 78, or 130 when interrupted.
int RunQuery(const QueryOptions& options, std::FILE* out, std::FILE* err);

}  // namespace weir

#endif  // WEIR_APPS_QUERY_H_
