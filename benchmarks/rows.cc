// How fast do the rows of closed windows get into SQLite? Windows of 50,000 rows, keys of 12 bytes in order, one commit a window,
// into a new file in $TMPDIR (default /tmp). ResultsFileWrite is the sink as a job uses it. Beside it the limits, with the same
// table and pragmas in the same program: InsertSelect, one `INSERT … SELECT` a window from the same feed and nothing else; and
// Insert25, a bare loop of INSERTs with 25 bound rows each.
#include <benchmark/benchmark.h>
#include <sqlite3.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "engine/sink/results_file.h"
#include "engine/sink/row_feed.h"

namespace weir {
namespace {

constexpr int64_t kRows = 50'000;
constexpr int64_t kWindows = 40;  // 2 million rows, about 80 MB
constexpr int kRowsPerInsert = 25;
static_assert(kRows % kRowsPerInsert == 0);

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "weir-rows-XXXXXX";
    path_ = mkdtemp(pattern.data()) == nullptr ? "" : pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  std::string file() const { return path_ + "/results.db"; }

 private:
  std::string path_;
};

Commit OneWindow() {
  Commit commit;
  ClosedWindow& window = commit.windows.emplace_back();
  window = {.op = 0, .start_ms = 0, .end_ms = 60'000, .revision = 0, .records = 5 * kRows, .keys = kRows, .rows = {}};
  for (int64_t i = 0; i < kRows; ++i) window.rows.Add("user_" + std::to_string(1'000'000 + i * 17), i % 1000 + 1);
  commit.job_watermark_ms = 60'000;
  return commit;
}
void Slide(Commit& commit) {
  commit.windows[0].start_ms += 1'000;
  commit.windows[0].end_ms += 1'000;
  commit.job_watermark_ms += 1'000;
}

void Processed(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * kRows);
  state.counters["rows/window"] = kRows;
}

void ResultsFileWrite(benchmark::State& state) {
  const TemporaryFolder folder;
  auto file = ResultsFile::Open({.path = folder.file(), .tables = {{"mentions", "user", "mentions"}}, .job = {}});
  if (!file.ok()) return state.SkipWithError(std::string(file.status().message()).c_str());
  Commit commit = OneWindow();
  for (auto _ : state) {
    if (!(*file)->Write(commit).ok()) return state.SkipWithError("a window was not written");
    Slide(commit);
  }
  Processed(state);
}
BENCHMARK(ResultsFileWrite)->Iterations(kWindows)->UseRealTime()->Unit(benchmark::kMillisecond);

// A connection as ResultsFile has it, with the table of one operator.
class Bare {
 public:
  explicit Bare(benchmark::State& state) : state_(state) {
    sqlite3* raw = nullptr;
    if (sqlite3_open_v2(folder_.file().c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK)
      state.SkipWithError("no database");
    db_.reset(raw);
    Exec("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;"
         "PRAGMA cache_size=-32768; PRAGMA secure_delete=OFF;"
         "CREATE TABLE mentions(window_start INTEGER NOT NULL, window_end INTEGER NOT NULL, user TEXT NOT NULL, mentions INTEGER NOT NULL,"
         " PRIMARY KEY (window_end, user)) STRICT, WITHOUT ROWID");
  }
  ~Bare() { sqlite3_finalize(statement_); }

  sqlite3* db() { return db_.get(); }
  void Exec(const char* sql) {
    if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) state_.SkipWithError(sqlite3_errmsg(db_.get()));
  }
  sqlite3_stmt* Prepare(const std::string& sql) {
    if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &statement_, nullptr) != SQLITE_OK) state_.SkipWithError(sqlite3_errmsg(db_.get()));
    return statement_;
  }
  void Run() {
    if (sqlite3_step(statement_) != SQLITE_DONE) state_.SkipWithError(sqlite3_errmsg(db_.get()));
    sqlite3_reset(statement_);
  }

 private:
  struct CloseDb {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
  };
  benchmark::State& state_;
  TemporaryFolder folder_;
  std::unique_ptr<sqlite3, CloseDb> db_;
  sqlite3_stmt* statement_ = nullptr;
};

void InsertSelect(benchmark::State& state) {
  Bare bare(state);
  Commit commit = OneWindow();
  const ClosedWindow* const window = commit.windows.data();
  if (AddRowFeed(bare.db(), &window) != SQLITE_OK) return state.SkipWithError("no feed");
  bare.Prepare(std::string("INSERT INTO mentions SELECT * FROM ") + kRowFeedTable);
  for (auto _ : state) {
    bare.Exec("BEGIN IMMEDIATE");
    bare.Run();
    bare.Exec("COMMIT");
    Slide(commit);
  }
  Processed(state);
}
BENCHMARK(InsertSelect)->Iterations(kWindows)->UseRealTime()->Unit(benchmark::kMillisecond);

void Insert25(benchmark::State& state) {
  Bare bare(state);
  Commit commit = OneWindow();
  std::string sql = "INSERT INTO mentions VALUES (?,?,?,?)";
  for (int i = 1; i < kRowsPerInsert; ++i) sql += ",(?,?,?,?)";
  sqlite3_stmt* const insert = bare.Prepare(sql);
  for (auto _ : state) {
    const ClosedWindow& window = commit.windows[0];
    bare.Exec("BEGIN IMMEDIATE");
    for (size_t row = 0; row < window.rows.size();) {
      for (int i = 0; i < kRowsPerInsert; ++i, ++row) {
        const std::string_view key = window.rows.key(row);
        sqlite3_bind_int64(insert, i * 4 + 1, window.start_ms);
        sqlite3_bind_int64(insert, i * 4 + 2, window.end_ms);
        sqlite3_bind_text(insert, i * 4 + 3, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
        sqlite3_bind_int64(insert, i * 4 + 4, window.rows.value(row));
      }
      bare.Run();
    }
    bare.Exec("COMMIT");
    Slide(commit);
  }
  Processed(state);
}
BENCHMARK(Insert25)->Iterations(kWindows)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
