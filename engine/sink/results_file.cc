#include "engine/sink/results_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/sink/row_feed.h"
#include "engine/status_macros.h"
#include "engine/window/window.h"

namespace weir {
namespace {

constexpr int kFormatVersion = 1;
constexpr int kBusyMs = 5'000;
constexpr int kTries = 5;                // of a commit that meets a full disk or a busy file
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

struct CloseDb {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct Finalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using Db = std::unique_ptr<sqlite3, CloseDb>;
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

// Identifiers come from operators and flags that were checked; quoting makes keywords harmless.
std::string Quoted(std::string_view identifier) {
  std::string out = "\"";
  for (char c : identifier) {
    if (c == '"') out.push_back('"');
    out.push_back(c);
  }
  return out + "\"";
}
std::string Literal(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'') out.push_back('\'');
    out.push_back(c);
  }
  return out + "'";
}

// A descriptor that is closed with its owner.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

class ResultsFile::Impl {
 public:
  explicit Impl(ResultsOptions options) : options_(std::move(options)) {}
  ~Impl() {
    statements_.clear();
    db_.reset();
    if (lock_.get() >= 0) ::unlink(lock_path_.c_str());
  }

  absl::Status Open() {
    WEIR_RETURN_IF_ERROR(LookAtFile());
    WEIR_RETURN_IF_ERROR(CreateFile());
    WEIR_RETURN_IF_ERROR(Lock());
    WEIR_RETURN_IF_ERROR(LookAtFile());  // again: it may have changed hands while the lock was awaited
    sqlite3* raw = nullptr;
    // SQLite takes "file:…" for a URI and ":memory:" for no file at all, which are then not the file that was looked at.
    const std::string path = options_.path.front() == '/' ? options_.path : "./" + options_.path;
    const int rc = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    db_.reset(raw);
    if (rc != SQLITE_OK) return Error("open");
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, kBusyMs);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    if (AddRowFeed(raw, &feeding_) != SQLITE_OK) return Error("add the row feed");
    WEIR_RETURN_IF_ERROR(Exec("PRAGMA cell_size_check=ON"));
    WEIR_ASSIGN_OR_RETURN(const int64_t tables, Integer("SELECT count(*) FROM sqlite_master"));
    bool anew = options_.reset;
    if (tables != 0) {
      WEIR_RETURN_IF_ERROR(CheckOwner());
      WEIR_ASSIGN_OR_RETURN(const int64_t progress, Integer("SELECT (SELECT count(*) FROM weir_progress WHERE consumed + gap > 0) + "
                                                            "(SELECT count(*) FROM weir_windows)"));
      if (!anew) {
        const absl::Status job = CheckJob();
        // A run that never read anything (a mistyped topic, say) leaves nothing to protect.
        if (!job.ok() && progress > 0) return job;
        anew = !job.ok();
      }
    }
    if (sqlite3_db_readonly(raw, "main") == 1)
      return absl::PermissionDeniedError(
          fmt::format("{} is read-only. Make it writable, or use another --output.", options_.path));
    if (tables == 0) WEIR_RETURN_IF_ERROR(CreateTables(/*drop_first=*/false));
    begin_anew_ = tables != 0 && anew;
    WEIR_RETURN_IF_ERROR(Exec("PRAGMA journal_mode=WAL"));
    WEIR_RETURN_IF_ERROR(Exec(options_.durability_full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
    WEIR_RETURN_IF_ERROR(Exec("PRAGMA wal_autocheckpoint=4000"));
    WEIR_RETURN_IF_ERROR(Exec("PRAGMA cache_size=-32768"));
    // Debian's SQLite writes zeros over what is deleted; the state of panes that were released is not worth that.
    return Exec("PRAGMA secure_delete=OFF");
  }

  absl::Status Begin() {
    if (begun_) return absl::OkStatus();
    if (begin_anew_) WEIR_RETURN_IF_ERROR(CreateTables(/*drop_first=*/true));
    WEIR_RETURN_IF_ERROR(TakeOver());
    begun_ = true;
    return absl::OkStatus();
  }

  absl::StatusOr<Restored> Restore(int64_t allowed_lateness_ms,
                                   const std::function<bool(uint32_t, int64_t, std::string_view)>& pane,
                                   const std::function<void(const Restored::Window&)>& window) {
    Restored restored;
    restored.job_watermark_ms = kNoWatermark;
    if (begin_anew_) return restored;
    WEIR_ASSIGN_OR_RETURN(const std::optional<std::string> watermark, Meta("watermark"));
    if (watermark) {
      const char* const end = watermark->data() + watermark->size();
      const auto parsed = std::from_chars(watermark->data(), end, restored.job_watermark_ms);
      if (parsed.ec != std::errc() || parsed.ptr != end)
        return absl::UnknownError(fmt::format(
            "{}: the stored watermark \"{}\" is no number. Restore the file from a copy, or start over with --reset.", options_.path, *watermark));
    }
    {
      WEIR_ASSIGN_OR_RETURN(
          Statement s,
          Prepare("SELECT topic, partition, next_offset, watermark, consumed, aggregated, filtered, skipped, late, invalid, "
                  "quarantined, duplicates, gap, first_offset, cursor, tracker, last_record FROM weir_progress JOIN weir_partitions USING "
                  "(topic, partition) ORDER BY topic, partition"));
      while (Step(s)) {
        PartitionProgress p;
        p.position.topic = TextAt(s, 0);
        p.position.partition = static_cast<int32_t>(IntAt(s, 1));
        p.position.next_offset = IntAt(s, 2);
        p.watermark_ms = sqlite3_column_type(s.get(), 3) == SQLITE_NULL ? kNoWatermark : IntAt(s, 3);
        int column = 4;
        for (int64_t* count : Fields(p.counts)) *count = IntAt(s, column++);
        p.position.first_offset = IntAt(s, 13);
        p.position.cursor = BlobAt(s, 14);
        p.tracker = BlobAt(s, 15);
        p.last_record_ms = IntAt(s, 16);
        restored.partitions.push_back(std::move(p));
      }
      WEIR_RETURN_IF_ERROR(Finished(s));
    }
    std::map<std::string, uint32_t> ops;
    for (uint32_t i = 0; i < options_.tables.size(); ++i) ops[options_.tables[i].table] = i;
    {
      WEIR_ASSIGN_OR_RETURN(Statement s, Prepare("SELECT operator, pane, delta FROM weir_state ORDER BY id"));
      while (Step(s)) {
        const auto op = ops.find(TextAt(s, 0));
        const std::string_view blob(static_cast<const char*>(sqlite3_column_blob(s.get(), 2)),
                                    static_cast<size_t>(sqlite3_column_bytes(s.get(), 2)));
        if (op == ops.end() || !pane(op->second, IntAt(s, 1), blob))
          return absl::UnknownError(fmt::format(
              "{}: the state of {} for pane {} is damaged (its checksum does not fit). Restore the file from a copy, or start over "
              "with --reset.", options_.path, TextAt(s, 0), IntAt(s, 1)));
      }
      WEIR_RETURN_IF_ERROR(Finished(s));
    }
    {
      WEIR_ASSIGN_OR_RETURN(
          Statement s, Prepare("SELECT operator, window_end, revision, records FROM weir_windows WHERE window_end > ?"));
      sqlite3_bind_int64(s.get(), 1,
                         restored.job_watermark_ms == kNoWatermark
                             ? INT64_MIN
                             : SaturatingAdd(restored.job_watermark_ms, -allowed_lateness_ms));
      while (Step(s))
        if (const auto op = ops.find(TextAt(s, 0)); op != ops.end())
          window({op->second, IntAt(s, 1), IntAt(s, 2), IntAt(s, 3)});
      WEIR_RETURN_IF_ERROR(Finished(s));
    }
    return restored;
  }

  absl::Status Write(const Commit& commit) {
    const absl::Time start = absl::Now();
    for (int attempt = 1;; ++attempt) {
      const absl::Status status = TryWrite(commit);
      if (status.ok()) return status;
      // SQLite may or may not have rolled back by itself.
      if (!sqlite3_get_autocommit(db_.get())) sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
      if (!passing_) return status;
      if (attempt == kTries)
        return absl::Status(status.code(),
                            fmt::format("{} Tried {} times within {:.0f} s; nothing of this commit is in the file. The next run goes on from the "
                                        "last commit.",
                                        std::string(status.message()), kTries, absl::ToDoubleSeconds(absl::Now() - start)));
      absl::SleepFor(kRetryAfter);
    }
  }

  absl::Status Close() {
    if (db_ == nullptr) return absl::OkStatus();
    statements_.clear();
    // Best effort: a reader may hold the log back, and then the next run, or SQLite itself, empties it.
    sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    db_.reset();
    return absl::OkStatus();
  }

 private:
  static std::vector<int64_t*> Fields(FateCounts& c) {
    return {&c.consumed, &c.aggregated, &c.filtered, &c.skipped, &c.late, &c.invalid, &c.quarantined, &c.duplicates, &c.gap};
  }

  // What can be known without SQLite, which might write to a file that is not ours.
  absl::Status LookAtFile() {
    const std::string& path = options_.path;
    struct stat st;
    if (::stat(path.c_str(), &st) != 0) {
      if (errno != ENOENT) return Cannot("look at", errno);
      const size_t slash = path.rfind('/');
      const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
      if (::stat(folder.c_str(), &st) != 0)
        return absl::UnknownError(fmt::format("cannot create {}: the folder {} does not exist. Create it, or use another --output.", path, folder));
      if (!S_ISDIR(st.st_mode)) return absl::UnknownError(fmt::format("cannot create {}: {} is no folder.", path, folder));
      if (::access(folder.c_str(), W_OK) != 0) return Cannot("create", errno);
      return absl::OkStatus();
    }
    if (S_ISDIR(st.st_mode)) return absl::UnknownError(fmt::format("{} is a folder. Give the results file a name in it.", path));
    if (!S_ISREG(st.st_mode)) return absl::UnknownError(fmt::format("{} is no regular file. Use another --output.", path));
    if (st.st_nlink > 1)
      return absl::UnknownError(fmt::format("{} has {} names (hard links). SQLite keeps a log beside each name, and two of them corrupt the file; "
                                            "use another --output.", path, static_cast<uint64_t>(st.st_nlink)));
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return Cannot("open", errno);
    if (::access(path.c_str(), W_OK) != 0) return Cannot("write to", errno);
    if (st.st_size == 0) return absl::OkStatus();
    unsigned char header[100];
    const ssize_t got = ::pread(fd.get(), header, sizeof header, 0);
    if (got < 0) return Cannot("read", errno);
    if (got < static_cast<ssize_t>(sizeof header) || std::memcmp(header, "SQLite format 3", 16) != 0)
      return absl::UnknownError(fmt::format("{} is not a SQLite database. It was not touched; use another --output.", path));
    const uint32_t id = uint32_t{header[68]} << 24 | uint32_t{header[69]} << 16 | uint32_t{header[70]} << 8 | header[71];
    if (id != kResultsApplicationId)
      return absl::FailedPreconditionError(fmt::format(
          "{} is another program's database (application id {:#x}, weir's is {:#x}). It was not touched; use another --output.", path,
          id, kResultsApplicationId));
    return absl::OkStatus();
  }

  absl::Status Cannot(std::string_view what, int error) const {
    return absl::UnknownError(fmt::format("cannot {} {}: {}. Use another --output, or mend that.", what, options_.path, std::strerror(error)));
  }

  // A link that leads to no file yet has no real path: two processes would lock two names of one file.
  absl::Status CreateFile() {
    if (const Fd fd(::open(options_.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)); fd.get() < 0) return Cannot("create", errno);
    return absl::OkStatus();
  }

  // The lock goes by the file, whatever link leads to it.
  absl::Status Lock() {
    char* const real = ::realpath(options_.path.c_str(), nullptr);
    if (real == nullptr) return Cannot("look at", errno);
    lock_path_ = std::string(real) + ".lock";
    std::free(real);
    for (;;) {
      Fd fd(::open(lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (fd.get() < 0)
        return absl::UnknownError(fmt::format("cannot create the lock file {}: {}. The folder of --output must be writable.", lock_path_, std::strerror(errno)));
      if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        char pid[32] = {};
        const ssize_t got = ::pread(fd.get(), pid, sizeof pid - 1, 0);
        return absl::AbortedError(fmt::format(
            "{} is held by another process{}. Wait until it has ended, or use another --output.", options_.path,
            got > 0 ? fmt::format(" ({})", std::string_view(pid, static_cast<size_t>(got))) : ""));
      }
      // The holder before us may have removed the file between our open and our lock: then it protects nothing.
      struct stat ours, there;
      if (::fstat(fd.get(), &ours) != 0 || ::stat(lock_path_.c_str(), &there) != 0 || ours.st_ino != there.st_ino) continue;
      const std::string pid = fmt::format("pid {}", ::getpid());
      if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
        // Only for the message above.
      }
      lock_ = std::move(fd);
      return absl::OkStatus();
    }
  }

  absl::Status CheckOwner() {
    WEIR_ASSIGN_OR_RETURN(const int64_t meta, Integer("SELECT count(*) FROM sqlite_master WHERE name = 'weir_meta'"));
    if (meta == 0)
      return absl::FailedPreconditionError(fmt::format("{} has weir's mark but not its tables. Use another --output.", options_.path));
    WEIR_ASSIGN_OR_RETURN(const std::optional<std::string> format, Meta("format"));
    if (!format || *format != fmt::format("{}", kFormatVersion))
      return absl::FailedPreconditionError(fmt::format("cannot go on with {}: it has format {}, this build reads {}. Use the weir that wrote it, or another --output.",
                                                       options_.path, format.value_or("unknown"), kFormatVersion));
    return absl::OkStatus();
  }

  absl::Status CheckJob() {
    std::map<std::string, std::string> stored;
    WEIR_ASSIGN_OR_RETURN(Statement s, Prepare("SELECT substr(name, 5), value FROM weir_meta WHERE name LIKE 'job.%'"));
    while (Step(s)) stored[TextAt(s, 0)] = TextAt(s, 1);
    WEIR_RETURN_IF_ERROR(Finished(s));
    std::string difference;
    for (const auto& [name, value] : options_.job) {
      const auto there = stored.find(name);
      if (there == stored.end()) {
        difference += fmt::format("\n  {}: not set there, {} now", name, value);
      } else {
        if (there->second != value) difference += fmt::format("\n  {}: {} there, {} now", name, there->second, value);
        stored.erase(there);
      }
    }
    for (const auto& [name, value] : stored) difference += fmt::format("\n  {}: {} there, not set now", name, value);
    if (difference.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(fmt::format(
        "{} holds another job:{}\nGo on with the same settings, use another --output, or start over with --reset.", options_.path, difference));
  }

  // Type and name, in lower case, of what the job in the file made.
  absl::StatusOr<std::set<std::pair<std::string, std::string>>> OwnObjects() {
    std::set<std::pair<std::string, std::string>> own;
    for (const char* table : {"meta", "windows", "progress", "partitions", "late", "dead_letters", "gaps", "state"})
      own.emplace("table", fmt::format("weir_{}", table));
    WEIR_ASSIGN_OR_RETURN(std::optional<std::string> tables, Meta("job.--name"));
    if (!tables) {
      WEIR_ASSIGN_OR_RETURN(tables, Meta("job.operators"));
    }
    for (const absl::string_view table : absl::StrSplit(tables.value_or(""), ',', absl::SkipEmpty())) {
      const std::string name = absl::AsciiStrToLower(table);
      own.insert({{"table", name}, {"view", name + "_latest"}, {"view", name + "_view"}});
    }
    return own;
  }

  absl::Status CreateTables(bool drop_first) {
    std::string sql = "BEGIN IMMEDIATE;";
    if (drop_first) {
      // Everything of the job that was, and nothing that users put beside it. Views first: they depend on tables.
      WEIR_ASSIGN_OR_RETURN(const auto own, OwnObjects());
      std::set<std::string> others;
      WEIR_ASSIGN_OR_RETURN(Statement s, Prepare("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY type DESC"));
      while (Step(s)) {
        const std::string name = absl::AsciiStrToLower(TextAt(s, 1));  // as SQLite compares names
        if (own.contains({TextAt(s, 0), name})) sql += fmt::format("DROP {} {};", TextAt(s, 0), Quoted(TextAt(s, 1)));
        else others.insert(name);
      }
      WEIR_RETURN_IF_ERROR(Finished(s));
      for (const ResultsTable& t : options_.tables)
        for (const std::string& name : {t.table, t.table + "_latest", t.table + "_view"})
          if (others.contains(absl::AsciiStrToLower(name)))
            return absl::UnknownError(fmt::format("{} holds a table or view \"{}\" that is not of the job in it. Rename that one, or use another "
                                                  "--name or --output.", options_.path, name));
    }
    sql += fmt::format("PRAGMA application_id={};", kResultsApplicationId);
    sql += R"(
CREATE TABLE weir_meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE weir_windows(operator TEXT NOT NULL, window_start INTEGER NOT NULL, window_end INTEGER NOT NULL, revision INTEGER NOT NULL,
  records INTEGER NOT NULL, keys INTEGER NOT NULL, PRIMARY KEY (operator, window_end)) STRICT, WITHOUT ROWID;
CREATE TABLE weir_progress(topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL, watermark INTEGER,
  consumed INTEGER NOT NULL, aggregated INTEGER NOT NULL, filtered INTEGER NOT NULL, skipped INTEGER NOT NULL, late INTEGER NOT NULL,
  invalid INTEGER NOT NULL, quarantined INTEGER NOT NULL, duplicates INTEGER NOT NULL, gap INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)) STRICT, WITHOUT ROWID;
CREATE TABLE weir_partitions(topic TEXT NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, cursor BLOB NOT NULL,
  tracker BLOB NOT NULL, last_record INTEGER NOT NULL, PRIMARY KEY (topic, partition)) STRICT, WITHOUT ROWID;
CREATE TABLE weir_late(operator TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
  event_time INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE TABLE weir_dead_letters(topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, reason TEXT NOT NULL,
  payload BLOB NOT NULL) STRICT;
CREATE TABLE weir_gaps(topic TEXT NOT NULL, partition INTEGER NOT NULL, first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL,
  reason TEXT NOT NULL) STRICT;
CREATE TABLE weir_state(id INTEGER PRIMARY KEY, operator TEXT NOT NULL, pane INTEGER NOT NULL, delta BLOB NOT NULL) STRICT;
CREATE INDEX weir_state_by_pane ON weir_state(pane, operator);
ANALYZE sqlite_master;
)";
    if (drop_first) sql += "DELETE FROM sqlite_stat1 WHERE stat = '10000000 10000 1';";
    const auto utc = [](std::string_view column) {
      return fmt::format("strftime('%Y-%m-%dT%H:%M:%fZ', {0} / 1000.0, 'unixepoch') AS {0}", column);
    };
    for (const ResultsTable& t : options_.tables) {
      const std::string table = Quoted(t.table), key = Quoted(t.key), value = Quoted(t.value);
      sql += fmt::format(
          "CREATE TABLE {0}(window_start INTEGER NOT NULL, window_end INTEGER NOT NULL, {1} TEXT NOT NULL, {2} INTEGER NOT NULL, "
          "PRIMARY KEY (window_end, {1})) STRICT, WITHOUT ROWID;"
          "CREATE VIEW {3} AS SELECT {5}, {6}, {1}, {2} FROM {0} WHERE window_end = (SELECT max(window_end) FROM weir_windows WHERE "
          "operator = {7}) ORDER BY {2} DESC, {1};"
          "CREATE VIEW {4} AS SELECT {5}, {6}, {1}, {2} FROM {0};",
          table, key, value, Quoted(t.table + "_latest"), Quoted(t.table + "_view"), utc("window_start"), utc("window_end"),
          Literal(t.table));
      // The series of one key is found through the primary key: with these figures (rows, rows a window) the planner skips
      // from window to window. A second index would double the cost of every row.
      sql += fmt::format("INSERT INTO sqlite_stat1(tbl, idx, stat) VALUES ({0}, {0}, '10000000 10000 1');", Literal(t.table));
    }
    for (const auto& [name, value] : options_.job)
      sql += fmt::format("INSERT INTO weir_meta VALUES ({}, {});", Literal("job." + name), Literal(value));
    sql += fmt::format("INSERT INTO weir_meta VALUES ('format', '{}'), ('epoch', '0'); COMMIT;", kFormatVersion);
    const absl::Status status = Exec(sql);
    if (!status.ok() && !sqlite3_get_autocommit(db_.get())) sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    return status;
  }

  // From here on, commits of an earlier holder fail: also of one whose tables were dropped and made anew, which is why the
  // epoch is drawn and not counted.
  absl::Status TakeOver() {
    uint64_t drawn = 0;
    sqlite3_randomness(sizeof drawn, &drawn);
    epoch_ = fmt::format("{}", drawn >> 1);
    WEIR_RETURN_IF_ERROR(Run("UPDATE weir_meta SET value = ? WHERE name = 'epoch'", epoch_));
    struct stat st;
    if (::stat(options_.path.c_str(), &st) != 0) return Cannot("look at", errno);
    inode_ = st.st_ino;
    return absl::OkStatus();
  }

  absl::Status TryWrite(const Commit& commit) {
    passing_ = false;
    struct stat st;
    if (::stat(options_.path.c_str(), &st) != 0 || st.st_ino != inode_)
      return absl::UnknownError(fmt::format("{} was renamed, removed or replaced while the job was running. Nothing more was written; put the file back "
                                            "and run again.", options_.path));
    WEIR_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
    WEIR_RETURN_IF_ERROR(Run("UPDATE weir_meta SET value = value WHERE name = 'epoch' AND value = ?", epoch_));
    if (sqlite3_changes(db_.get()) != 1)
      return absl::AbortedError(fmt::format("{} was taken over by another process; this one ends. Nothing of its last batch was written.", options_.path));
    for (const ClosedWindow& window : commit.windows) WEIR_RETURN_IF_ERROR(WriteWindow(window));
    for (const PartitionProgress& p : commit.partitions) {
      FateCounts c = p.counts;
      WEIR_RETURN_IF_ERROR(Run("INSERT OR REPLACE INTO weir_progress VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", p.position.topic,
                               p.position.partition, p.position.next_offset,
                               p.watermark_ms == kNoWatermark ? std::optional<int64_t>() : p.watermark_ms, c.consumed, c.aggregated,
                               c.filtered, c.skipped, c.late, c.invalid, c.quarantined, c.duplicates, c.gap));
      WEIR_RETURN_IF_ERROR(Run("INSERT OR REPLACE INTO weir_partitions VALUES (?,?,?,?,?,?)", p.position.topic, p.position.partition,
                               p.position.first_offset, Blob{p.position.cursor}, Blob{p.tracker}, p.last_record_ms));
    }
    if (commit.job_watermark_ms != kNoWatermark)
      WEIR_RETURN_IF_ERROR(Run("INSERT OR REPLACE INTO weir_meta VALUES ('watermark', ?)", fmt::format("{}", commit.job_watermark_ms)));
    WEIR_RETURN_IF_ERROR(Run("INSERT OR REPLACE INTO weir_meta VALUES ('closed', ?)", std::string(commit.all_closed ? "all" : "to the watermark")));
    for (const StateWrite& state : commit.state) {
      const std::string& op = options_.tables[state.op].table;
      if (state.replace) WEIR_RETURN_IF_ERROR(Run("DELETE FROM weir_state WHERE pane = ? AND operator = ?", state.pane, op));
      WEIR_RETURN_IF_ERROR(Run("INSERT INTO weir_state(operator, pane, delta) VALUES (?,?,?)", op, state.pane, Blob{state.blob}));
    }
    if (commit.release_before_pane > released_before_) {
      WEIR_RETURN_IF_ERROR(Run("DELETE FROM weir_state WHERE pane < ?", commit.release_before_pane));
    }
    WEIR_RETURN_IF_ERROR(WriteRejects(commit));
    for (const LostRange& gap : commit.gaps)
      WEIR_RETURN_IF_ERROR(Run("INSERT INTO weir_gaps VALUES (?,?,?,?,?)", gap.topic, gap.partition, gap.first_offset, gap.next_offset, gap.reason));
    WEIR_RETURN_IF_ERROR(Run("COMMIT"));
    released_before_ = std::max(released_before_, commit.release_before_pane);
    return absl::OkStatus();
  }

  absl::Status WriteWindow(const ClosedWindow& w) {
    const ResultsTable& t = options_.tables[w.op];
    if (w.revision > 0) WEIR_RETURN_IF_ERROR(Run(fmt::format("DELETE FROM {} WHERE window_end = ?", Quoted(t.table)), w.end_ms));
    WEIR_RETURN_IF_ERROR(
        Run("INSERT OR REPLACE INTO weir_windows VALUES (?,?,?,?,?,?)", t.table, w.start_ms, w.end_ms, w.revision, w.records, w.keys));
    feeding_ = &w;
    return Run(fmt::format("INSERT INTO {} SELECT * FROM {}", Quoted(t.table), kRowFeedTable));
  }

  absl::Status WriteRejects(const Commit& commit) {
    const auto newest = [](const auto& all) { return all.size() > kKeptRejects ? all.end() - kKeptRejects : all.begin(); };
    if (!commit.late.empty()) {
      for (auto r = newest(commit.late); r != commit.late.end(); ++r)
        for (const ResultsTable& t : options_.tables)
          WEIR_RETURN_IF_ERROR(Run("INSERT INTO weir_late VALUES (?,?,?,?,?,?)", t.table, r->topic, r->partition, r->offset,
                                   r->event_time_ms, std::string(r->idle ? "idle" : "late")));
      WEIR_RETURN_IF_ERROR(Run("DELETE FROM weir_late WHERE rowid <= (SELECT max(rowid) FROM weir_late) - ?",
                               static_cast<int64_t>(kKeptRejects)));
    }
    if (!commit.dead_letters.empty()) {
      for (auto r = newest(commit.dead_letters); r != commit.dead_letters.end(); ++r)
        WEIR_RETURN_IF_ERROR(Run("INSERT INTO weir_dead_letters VALUES (?,?,?,?,?)", r->topic, r->partition, r->offset, r->reason,
                                 Blob{r->payload}));
      WEIR_RETURN_IF_ERROR(Run("DELETE FROM weir_dead_letters WHERE rowid <= (SELECT max(rowid) FROM weir_dead_letters) - ?",
                               static_cast<int64_t>(kKeptRejects)));
    }
    return absl::OkStatus();
  }

  struct Blob {
    const std::string& bytes;
  };
  static int Bind(sqlite3_stmt* s, int at, const std::string& v) {
    return sqlite3_bind_text64(s, at, v.data(), v.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  static int Bind(sqlite3_stmt* s, int at, const Blob& v) {
    return sqlite3_bind_blob64(s, at, v.bytes.data(), v.bytes.size(), SQLITE_STATIC);
  }
  static int Bind(sqlite3_stmt* s, int at, int64_t v) { return sqlite3_bind_int64(s, at, v); }
  static int Bind(sqlite3_stmt* s, int at, const std::optional<int64_t>& v) {
    return v ? sqlite3_bind_int64(s, at, *v) : sqlite3_bind_null(s, at);
  }

  // Runs a statement that is prepared once; arguments live until it returns.
  template <class... Args>
  absl::Status Run(const std::string& sql, const Args&... args) {
    Statement& s = statements_[sql];
    if (s == nullptr) {
      WEIR_ASSIGN_OR_RETURN(s, Prepare(sql));
    }
    int at = 1, bound = SQLITE_OK;
    ((bound = bound != SQLITE_OK ? bound : Bind(s.get(), at++, args)), ...);
    // What is too large to be bound would go in as NULL.
    const int rc = bound == SQLITE_OK ? sqlite3_step(s.get()) : bound;
    const absl::Status status = rc == SQLITE_DONE || rc == SQLITE_ROW ? absl::OkStatus() : (rc & 0xff) == SQLITE_TOOBIG ? TooBig(sql) : Error(sql);
    sqlite3_reset(s.get());
    sqlite3_clear_bindings(s.get());
    return status;
  }

  absl::StatusOr<Statement> Prepare(const std::string& sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(db_.get(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) return Error(sql);
    return Statement(raw);
  }
  absl::Status Exec(const std::string& sql) {
    return sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : Error(sql);
  }
  bool Step(const Statement& s) {
    last_ = sqlite3_step(s.get());
    return last_ == SQLITE_ROW;
  }
  absl::Status Finished(const Statement& s) {
    return last_ == SQLITE_DONE ? absl::OkStatus() : Error(sqlite3_sql(s.get()));
  }
  static int64_t IntAt(const Statement& s, int column) { return sqlite3_column_int64(s.get(), column); }
  static std::string TextAt(const Statement& s, int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(s.get(), column));
    return text == nullptr ? "" : std::string(text, static_cast<size_t>(sqlite3_column_bytes(s.get(), column)));
  }
  static std::string BlobAt(const Statement& s, int column) {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(s.get(), column));
    return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(s.get(), column)));
  }
  absl::StatusOr<int64_t> Integer(const std::string& sql) {
    WEIR_ASSIGN_OR_RETURN(Statement s, Prepare(sql));
    if (!Step(s)) return Error(sql);
    return IntAt(s, 0);
  }
  absl::StatusOr<std::optional<std::string>> Meta(const std::string& name) {
    WEIR_ASSIGN_OR_RETURN(Statement s, Prepare("SELECT value FROM weir_meta WHERE name = ?"));
    Bind(s.get(), 1, name);
    if (Step(s)) return std::optional<std::string>(TextAt(s, 0));
    WEIR_RETURN_IF_ERROR(Finished(s));
    return std::optional<std::string>();
  }

  absl::Status TooBig(std::string_view what) const {
    passing_ = false;
    return absl::UnknownError(fmt::format("{}: one value is larger than SQLite takes ({} bytes), in: {}. The records hold keys that are too "
                                          "long; leave them out, or count by another field.",
                                          options_.path, sqlite3_limit(db_.get(), SQLITE_LIMIT_LENGTH, -1), what.substr(0, 80)));
  }

  // The one place where an SQLite code becomes a Status, but for the one above, which may not be the connection's.
  absl::Status Error(std::string_view what) const {
    const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db_.get());
    const std::string text = db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_.get());
    const std::string head = fmt::format("{}: {} (SQLite code {})", options_.path, text, code);
    // A failed fsync is final: the pages that it did not write are gone from the cache, and a second one would succeed.
    passing_ = (code & 0xff) == SQLITE_FULL || (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED ||
               ((code & 0xff) == SQLITE_IOERR && code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_DIR_FSYNC);
    switch (code & 0xff) {
      case SQLITE_FULL: return absl::ResourceExhaustedError(fmt::format("{}: the disk is full. Free some space and run again.", head));
      case SQLITE_BUSY:
      case SQLITE_LOCKED: return absl::AbortedError(fmt::format("{}: another process keeps it locked. End that one.", head));
      case SQLITE_READONLY:
      case SQLITE_PERM:
      case SQLITE_AUTH: return absl::PermissionDeniedError(fmt::format("{}. Make the file and its folder writable, or use another --output.", head));
      case SQLITE_CANTOPEN: return absl::UnknownError(fmt::format("{}. Check folder and permissions, or use another --output.", head));
      case SQLITE_NOTADB:
      case SQLITE_CORRUPT: return absl::UnknownError(fmt::format("{}. Restore the file from a copy, or use another --output.", head));
      case SQLITE_IOERR: return absl::UnknownError(fmt::format("{}: the disk failed. Nothing of this commit counts; check the disk, then run again.", head));
      default: return absl::UnknownError(fmt::format("{}, in: {}", head, what.substr(0, 80)));
    }
  }

  const ResultsOptions options_;
  Fd lock_;
  std::string lock_path_;
  Db db_;
  std::string epoch_;
  ino_t inode_ = 0;
  bool begin_anew_ = false;  // what is in the file goes away when this run begins
  bool begun_ = false;
  int64_t released_before_ = INT64_MIN;
  int last_ = SQLITE_OK;
  mutable bool passing_ = false;  // the last error may pass: worth another try
  std::map<std::string, Statement> statements_;
  const ClosedWindow* feeding_ = nullptr;  // whose rows the statement that runs takes
};

ResultsFile::ResultsFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ResultsFile::~ResultsFile() = default;

absl::StatusOr<std::unique_ptr<ResultsFile>> ResultsFile::Open(ResultsOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  WEIR_RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<ResultsFile>(new ResultsFile(std::move(impl)));
}

absl::StatusOr<ResultsFile::Restored> ResultsFile::Restore(
    int64_t allowed_lateness_ms, const std::function<bool(uint32_t, int64_t, std::string_view)>& pane,
    const std::function<void(const Restored::Window&)>& window) {
  return impl_->Restore(allowed_lateness_ms, pane, window);
}
absl::Status ResultsFile::Begin() { return impl_->Begin(); }
absl::Status ResultsFile::Write(const Commit& commit) {
  WEIR_RETURN_IF_ERROR(impl_->Begin());
  return impl_->Write(commit);
}
absl::Status ResultsFile::Close() { return impl_->Close(); }

}  // namespace weir
