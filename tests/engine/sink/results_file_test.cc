#include "engine/sink/results_file.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/window/pane_blob.h"
#include "engine/window/window.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

// ---- A disk that can be full or fail: SQLite's own file layer with our xWrite in front. It becomes the default
// layer of this program, so that the engine's code is the one that runs in production.

std::atomic<int> g_disk_error{SQLITE_OK};  // what each write answers
std::atomic<int> g_errors_left{0};         // for so many writes
decltype(sqlite3_io_methods::xWrite) g_real_write = nullptr;
sqlite3_vfs* g_real_vfs = nullptr;

bool Faulty() {
  if (g_disk_error == SQLITE_OK) return false;
  if (g_errors_left.fetch_sub(1) > 0) return true;
  g_disk_error = SQLITE_OK;
  return false;
}
int FaultyWrite(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
  const int error = g_disk_error;
  return Faulty() ? error : g_real_write(file, bytes, size, at);
}
int FaultyOpen(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  const int rc = g_real_vfs->xOpen(g_real_vfs, name, file, flags, out_flags);
  if (rc == SQLITE_OK && file->pMethods != nullptr) {
    // The database and its log have method tables of their own (they lock differently) and write with one function.
    static auto* const tables = new std::map<const sqlite3_io_methods*, sqlite3_io_methods>;
    const auto [at, added] = tables->try_emplace(file->pMethods, *file->pMethods);
    if (added) {
      if (g_real_write != nullptr && g_real_write != at->second.xWrite) std::abort();
      g_real_write = at->second.xWrite;
      at->second.xWrite = FaultyWrite;
    }
    file->pMethods = &at->second;
  }
  return rc;
}
void FailWrites(int code, int times) {
  g_errors_left = times;
  g_disk_error = code;
}

class FaultyDisk : public testing::Environment {
 public:
  void SetUp() override {
    g_real_vfs = sqlite3_vfs_find(nullptr);
    static sqlite3_vfs vfs = *g_real_vfs;
    vfs.zName = "faulty";
    vfs.pNext = nullptr;
    vfs.xOpen = FaultyOpen;
    ASSERT_EQ(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
  }
};
const auto* const g_environment = testing::AddGlobalTestEnvironment(new FaultyDisk);

// ---- A file, and a look at it from outside.

std::string Bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

class ResultsFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/weir_results_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/results.db";
  }
  void TearDown() override {
    g_disk_error = SQLITE_OK;
    const std::string command = "rm -rf " + folder_;
    ASSERT_EQ(std::system(command.c_str()), 0);
  }

  ResultsOptions Options() const {
    ResultsOptions options;
    options.path = path_;
    options.tables = {{.table = "places", .key = "location", .value = "tweets"}, {.table = "users", .key = "user", .value = "mentions"}};
    options.job = {{"operators", "places,users"}, {"--window", "60s"}, {"--slide", "30s"}};
    return options;
  }
  std::unique_ptr<ResultsFile> Open() { return Open(Options()); }
  // As a run whose source is there does.
  static absl::StatusOr<std::unique_ptr<ResultsFile>> OpenAndBegin(ResultsOptions options) {
    auto file = ResultsFile::Open(std::move(options));
    if (!file.ok()) return file;
    if (const absl::Status begun = (*file)->Begin(); !begun.ok()) return begun;
    return file;
  }
  std::unique_ptr<ResultsFile> Open(ResultsOptions options) {
    auto file = OpenAndBegin(std::move(options));
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }
  absl::Status OpenStatus(ResultsOptions options) { return OpenAndBegin(std::move(options)).status(); }
  absl::Status OpenStatus() { return OpenStatus(Options()); }

  // The answer as lines of columns joined by '|'; "error: …" if it is refused.
  std::string Query(const std::string& sql) const {
    sqlite3* db = nullptr;
    std::string out;
    sqlite3_open(path_.c_str(), &db);
    sqlite3_busy_timeout(db, 1000);
    char* error = nullptr;
    sqlite3_exec(
        db, sql.c_str(),
        [](void* to, int columns, char** values, char**) {
          for (int i = 0; i < columns; ++i)
            static_cast<std::string*>(to)->append(i > 0 ? "|" : "").append(values[i] != nullptr ? values[i] : "NULL");
          static_cast<std::string*>(to)->append("\n");
          return 0;
        },
        &out, &error);
    if (error != nullptr) out += std::string("error: ") + error;
    sqlite3_free(error);
    sqlite3_close(db);
    return out;
  }

  std::string folder_, path_;
};

Commit AtWatermark(int64_t watermark) {
  Commit commit;
  commit.job_watermark_ms = watermark;
  return commit;
}

ClosedWindow Closed(uint32_t op, int64_t start, int64_t end, int64_t revision, const std::vector<std::pair<std::string, int64_t>>& rows) {
  ClosedWindow w{op, start, end, revision, 0, static_cast<int64_t>(rows.size()), {}};
  for (const auto& [key, value] : rows) {
    w.rows.Add(key, value);
    w.records += value;
  }
  return w;
}

PartitionProgress Progress(const std::string& topic, int32_t partition, int64_t next) {
  PartitionProgress p;
  p.position = {.topic = topic, .partition = partition, .first_offset = 3, .next_offset = next, .cursor = std::string("c\0r", 3)};
  p.counts = {.consumed = 9, .aggregated = 1, .filtered = 1, .skipped = 1, .late = 1, .invalid = 1, .quarantined = 1, .duplicates = 3,
              .gap = 2};
  p.watermark_ms = -7;
  p.tracker = std::string("\x00\xff", 2);
  return p;
}

TEST_F(ResultsFileTest, TablesAndViewsExistFromTheStart) {
  auto file = Open();
  EXPECT_EQ(Query("SELECT name FROM pragma_table_info('places')"), "window_start\nwindow_end\nlocation\ntweets\n");
  for (const char* name : {"places", "users", "places_latest", "places_view", "weir_windows", "weir_progress", "weir_late",
                           "weir_dead_letters", "weir_gaps"})
    EXPECT_EQ(Query(std::string("SELECT count(*) FROM ") + name), "0\n") << name;
  EXPECT_EQ(Query("PRAGMA application_id"), std::to_string(kResultsApplicationId) + "\n");
  EXPECT_EQ(Query("PRAGMA journal_mode"), "wal\n");
  EXPECT_NE(Query("INSERT INTO places VALUES ('x', 1, 'a', 1)"), "") << "STRICT: no text where an integer belongs";
  const std::string sql = Query("SELECT sql FROM sqlite_master WHERE name = 'places'");
  EXPECT_NE(sql.find("STRICT, WITHOUT ROWID"), std::string::npos) << sql;
}

TEST_F(ResultsFileTest, ACommitIsAllThere) {
  auto file = Open();
  Commit commit = AtWatermark(60'000);
  commit.windows.push_back(Closed(0, -30'000, 30'000, 0, {{"", 1}, {std::string("a\0b", 3), 2}, {"東京", 7}}));
  commit.windows.push_back(Closed(1, 0, 60'000, 0, {{"ana", 2}}));
  commit.partitions = {Progress("tweets", 0, 14), Progress("tweets", 1, 3)};
  commit.partitions[1].watermark_ms = kNoWatermark;
  commit.late = {{"tweets", 0, 5, 1000, false}, {"tweets", 0, 6, 2000, true}};
  commit.dead_letters = {{"tweets", 1, 8, "not JSON", std::string("\0\xff{", 3)}};
  commit.gaps = {{"tweets", 0, 3, 5, "they were gone"}, {"tweets", 1, 3, 3, "it is another log"}};
  ASSERT_TRUE(file->Write(commit).ok());

  EXPECT_EQ(Query("SELECT window_start, window_end, hex(location), tweets FROM places"),
            "-30000|30000||1\n-30000|30000|610062|2\n-30000|30000|E69DB1E4BAAC|7\n");
  EXPECT_EQ(Query("SELECT * FROM weir_windows"), "places|-30000|30000|0|10|3\nusers|0|60000|0|2|1\n");
  EXPECT_EQ(Query("SELECT * FROM weir_progress"), "tweets|0|14|-7|9|1|1|1|1|1|1|3|2\ntweets|1|3|NULL|9|1|1|1|1|1|1|3|2\n");
  EXPECT_EQ(Query("SELECT * FROM weir_late WHERE operator = 'users'"), "users|tweets|0|5|1000|late\nusers|tweets|0|6|2000|idle\n");
  EXPECT_EQ(Query("SELECT topic, partition, \"offset\", reason, hex(payload) FROM weir_dead_letters"), "tweets|1|8|not JSON|00FF7B\n");
  EXPECT_EQ(Query("SELECT * FROM weir_gaps"), "tweets|0|3|5|they were gone\ntweets|1|3|3|it is another log\n");
  EXPECT_EQ(Query("SELECT * FROM users_latest"), "1970-01-01T00:00:00.000Z|1970-01-01T00:01:00.000Z|ana|2\n");
  EXPECT_EQ(Query("SELECT window_start FROM places_view LIMIT 1"), "1969-12-31T23:59:30.000Z\n");
}

TEST_F(ResultsFileTest, TheLatestViewIsTheNewestClosedWindowInOrder) {
  auto file = Open();
  Commit commit = AtWatermark(90'000);
  commit.windows.push_back(Closed(0, 0, 60'000, 0, {{"old", 99}}));
  commit.windows.push_back(Closed(0, 30'000, 90'000, 0, {{"b", 1}, {"c", 5}, {"a", 1}}));
  ASSERT_TRUE(file->Write(commit).ok());
  EXPECT_EQ(Query("SELECT location, tweets FROM places_latest"), "c|5\na|1\nb|1\n");
  EXPECT_EQ(Query("SELECT * FROM users_latest"), "");
}

// Rows go in by the 25 and one by one: every count of them must arrive.
TEST_F(ResultsFileTest, WindowsOfAnySizeArriveWhole) {
  auto file = Open();
  for (int rows : {0, 1, 24, 25, 26, 49, 50, 137}) {
    Commit commit = AtWatermark(1000 * (rows + 1));
    std::vector<std::pair<std::string, int64_t>> all;
    for (int i = 0; i < rows; ++i) all.emplace_back("key" + std::to_string(1000 + i), i + 1);
    commit.windows.push_back(Closed(0, 1000 * rows, 1000 * (rows + 1), 0, all));
    ASSERT_TRUE(file->Write(commit).ok());
    EXPECT_EQ(Query("SELECT count(*), coalesce(sum(tweets), 0) FROM places WHERE window_end = " + std::to_string(1000 * (rows + 1))),
              std::to_string(rows) + "|" + std::to_string(rows * (rows + 1) / 2) + "\n");
  }
}

TEST_F(ResultsFileTest, ACorrectionReplacesTheRowsOfItsWindowAndOperatorOnly) {
  auto file = Open();
  Commit first = AtWatermark(60'000);
  first.windows = {};
  first.windows.push_back(Closed(0, 0, 60'000, 0, {{"gone", 1}, {"kept", 2}}));
  first.windows.push_back(Closed(0, 30'000, 90'000, 0, {{"other", 1}}));
  first.windows.push_back(Closed(1, 0, 60'000, 0, {{"ana", 1}}));
  ASSERT_TRUE(file->Write(first).ok());
  Commit second = AtWatermark(60'000);
  second.windows.push_back(Closed(0, 0, 60'000, 1, {{"kept", 3}}));
  ASSERT_TRUE(file->Write(second).ok());
  EXPECT_EQ(Query("SELECT window_end, location, tweets FROM places"), "60000|kept|3\n90000|other|1\n");
  EXPECT_EQ(Query("SELECT user FROM users"), "ana\n");
  EXPECT_EQ(Query("SELECT window_end, revision FROM weir_windows WHERE operator = 'places'"), "60000|1\n90000|0\n");
}

// ---- Going on.

TEST_F(ResultsFileTest, WhatWasCommittedIsRestored) {
  {
    auto file = Open();
    Commit commit = AtWatermark(60'000);
    commit.partitions = {Progress("tweets", 1, 14), Progress("other", 0, 3)};
    commit.partitions[1].watermark_ms = kNoWatermark;
    commit.windows.push_back(Closed(0, -30'000, 30'000, 0, {{"a", 1}}));
    commit.windows.push_back(Closed(0, 0, 60'000, 4, {{"a", 1}}));
    commit.windows.push_back(Closed(1, 30'000, 90'000, 2, {{"b", 5}}));
    commit.state = {{0, 2, false, "d1"}, {1, 2, false, "u1"}, {0, 2, false, "d2"}, {0, -1, false, "old"}, {0, 3, false, std::string("\0", 1)}};
    ASSERT_TRUE(file->Write(commit).ok());
    Commit compacted = AtWatermark(60'000);
    compacted.state = {{0, 2, false, "d3"}, {0, 2, true, "all"}, {0, 2, false, "d4"}};
    compacted.release_before_pane = 0;
    ASSERT_TRUE(file->Write(compacted).ok());
    ASSERT_TRUE(file->Close().ok());
  }
  const auto restore = [&](int64_t lateness) {
    auto file = Open();
    std::string seen;
    const auto restored = file->Restore(
        lateness,
        [&](uint32_t op, int64_t pane, std::string_view blob) {
          seen += std::to_string(op) + "/" + std::to_string(pane) + "=" + (blob == std::string_view("\0", 1) ? "NUL" : std::string(blob)) + " ";
          return true;
        },
        [&](const ResultsFile::Restored::Window& w) {
          seen += "[" + std::to_string(w.op) + ":" + std::to_string(w.end_ms) + " r" + std::to_string(w.revision) + " n" +
                  std::to_string(w.records) + "]";
        });
    EXPECT_TRUE(restored.ok()) << restored.status();
    EXPECT_EQ(restored->job_watermark_ms, 60'000);
    EXPECT_EQ(restored->partitions.size(), 2u);
    const PartitionProgress& p = restored->partitions[1];
    EXPECT_EQ(p.position.topic, "tweets");
    EXPECT_EQ(p.position.partition, 1);
    EXPECT_EQ(p.position.first_offset, 3);
    EXPECT_EQ(p.position.next_offset, 14);
    EXPECT_EQ(p.position.cursor, std::string("c\0r", 3));
    EXPECT_EQ(p.tracker, std::string("\x00\xff", 2));
    EXPECT_EQ(p.watermark_ms, -7);
    EXPECT_EQ(p.counts.consumed, 9);
    EXPECT_EQ(p.counts.duplicates, 3);
    EXPECT_EQ(p.counts.gap, 2);
    EXPECT_EQ(restored->partitions[0].watermark_ms, kNoWatermark);
    return seen;
  };
  // Blobs in the order in which they were written; windows that may still change: end > watermark - allowed lateness.
  EXPECT_EQ(restore(0), "1/2=u1 0/3=NUL 0/2=all 0/2=d4 [1:90000 r2 n5]");
  EXPECT_EQ(restore(1), "1/2=u1 0/3=NUL 0/2=all 0/2=d4 [0:60000 r4 n1][1:90000 r2 n5]");
  EXPECT_EQ(restore(kForever), "1/2=u1 0/3=NUL 0/2=all 0/2=d4 [0:30000 r0 n1][0:60000 r4 n1][1:90000 r2 n5]");
}

TEST_F(ResultsFileTest, ANewFileHasNothingToRestore) {
  auto file = Open();
  const auto restored = file->Restore(
      0, [](uint32_t, int64_t, std::string_view) { return false; }, [](const ResultsFile::Restored::Window&) { FAIL(); });
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_TRUE(restored->partitions.empty());
  EXPECT_EQ(restored->job_watermark_ms, kNoWatermark);
}

TEST_F(ResultsFileTest, ADamagedBlobIsNamed) {
  {
    auto file = Open();
    Commit commit = AtWatermark(1);
    std::string blob = BeginPaneBlob(0, 0);
    SealPaneBlob(blob);
    commit.state = {{1, 42, false, blob}};
    ASSERT_TRUE(file->Write(commit).ok());
  }
  ASSERT_EQ(Query("UPDATE weir_state SET delta = x'01000000000000'"), "");
  auto file = Open();
  const auto restored = file->Restore(
      0,
      [](uint32_t, int64_t, std::string_view blob) {
        KeyTable<Count::Partial> table;
        int64_t records = 0;
        return DecodePane<Count>(blob, table, records);
      },
      [](const ResultsFile::Restored::Window&) {});
  EXPECT_EQ(restored.status().code(), absl::StatusCode::kUnknown);
  EXPECT_NE(std::string(restored.status().message()).find("users for pane 42"), std::string::npos) << restored.status();
}

// ---- Whose file it is.

TEST_F(ResultsFileTest, AnotherJobsFileIsRefusedWithTheDifference) {
  {
    auto file = Open();
    Commit commit = AtWatermark(1);
    commit.partitions = {Progress("tweets", 0, 14)};
    ASSERT_TRUE(file->Write(commit).ok());
  }
  const std::string before = Bytes(path_);
  ResultsOptions other = Options();
  other.job = {{"operators", "places,users"}, {"--window", "120s"}, {"--top", "5"}};
  const absl::Status status = OpenStatus(other);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  for (const char* part : {"--window: 60s there, 120s now", "--top: not set there, 5 now", "--slide: 30s there, not set now", "--reset"})
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << part << " in " << status;
  EXPECT_EQ(std::string(status.message()).find("operators"), std::string::npos) << "what is the same is not named";
  EXPECT_TRUE(Bytes(path_) == before) << "the file is untouched";
  EXPECT_TRUE(OpenStatus().ok());
}

// A mistyped topic must not lock the file against the right one.
TEST_F(ResultsFileTest, AJobThatNeverReadAnythingLeavesNothingToProtect) {
  Open().reset();
  ResultsOptions other = Options();
  other.job = {{"operators", "places,users"}, {"--window", "120s"}};
  EXPECT_TRUE(OpenStatus(other).ok());
  EXPECT_TRUE(OpenStatus().ok());
}

TEST_F(ResultsFileTest, ResetForgetsTheJobAndLeavesWhatUsersAdded) {
  {
    auto file = Open();
    Commit commit = AtWatermark(60'000);
    commit.windows.push_back(Closed(0, 0, 60'000, 0, {{"a", 1}}));
    commit.partitions = {Progress("tweets", 0, 14)};
    commit.state = {{0, 2, false, "d1"}};
    ASSERT_TRUE(file->Write(commit).ok());
  }
  ASSERT_EQ(Query("CREATE TABLE notes(text); INSERT INTO notes VALUES ('mine')"), "");
  ResultsOptions other = Options();
  other.reset = true;
  other.tables = {{.table = "hashtags", .key = "hashtag", .value = "uses"}};
  other.job = {{"operators", "hashtags"}};
  auto opened = ResultsFile::Open(other);
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::unique_ptr<ResultsFile> file = *std::move(opened);
  EXPECT_EQ(Query("SELECT count(*) FROM weir_windows"), "1\n") << "until the rest of the run is known to be there, nothing goes away";
  ASSERT_TRUE(file->Begin().ok());
  EXPECT_EQ(Query("SELECT count(*) FROM weir_state UNION ALL SELECT count(*) FROM weir_progress UNION ALL SELECT count(*) FROM weir_windows"),
            "0\n0\n0\n");
  EXPECT_EQ(Query("SELECT count(*) FROM sqlite_master WHERE name IN ('places', 'users', 'places_view', 'users_latest')"), "0\n");
  EXPECT_EQ(Query("SELECT text FROM notes"), "mine\n");
  Commit commit = AtWatermark(5);
  commit.windows.push_back(Closed(0, 0, 5, 0, {{"x", 1}}));
  EXPECT_TRUE(file->Write(commit).ok());
  file.reset();
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kFailedPrecondition) << "the old job does not find itself any more";
}

// What a user's table is called, and what stands beside it, makes it none of the job's.
TEST_F(ResultsFileTest, ResetDropsByNameOnly) {
  ResultsOptions named = Options();
  named.tables = {{.table = "Mine", .key = "hashtag", .value = "uses"}};
  named.job = {{"operators", "hashtags"}, {"--name", "Mine"}};
  Open(named).reset();
  ASSERT_EQ(Query("CREATE TABLE places(x); CREATE VIEW places_latest AS SELECT * FROM places; CREATE VIEW places_view AS SELECT * FROM places;"
                  "CREATE TABLE hashtags(x); CREATE TABLE weir_notes(x); INSERT INTO places VALUES (7)"), "");
  named.reset = true;
  named.tables[0].table = named.job[1].second = "other";
  Open(named).reset();
  EXPECT_EQ(Query("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%' AND (name NOT LIKE 'weir%' OR name = "
                  "'weir_notes') ORDER BY name"),
            "hashtags\nother\nother_latest\nother_view\nplaces\nplaces_latest\nplaces_view\nweir_notes\n");
  EXPECT_EQ(Query("SELECT x FROM places"), "7\n");
}

TEST_F(ResultsFileTest, AUsersTableInTheWayIsNamedAndStays) {
  Open().reset();
  ASSERT_EQ(Query("CREATE TABLE Hashtags(x); INSERT INTO Hashtags VALUES (7)"), "");
  ResultsOptions other = Options();
  other.reset = true;
  other.tables = {{.table = "hashtags", .key = "hashtag", .value = "uses"}};
  other.job = {{"operators", "hashtags"}};
  const absl::Status status = OpenStatus(other);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  for (const char* part : {"\"hashtags\"", "--name"}) EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status;
  EXPECT_EQ(Query("SELECT x FROM Hashtags"), "7\n");
  EXPECT_TRUE(OpenStatus().ok()) << "nothing was changed";
}

TEST_F(ResultsFileTest, AnotherProgramsDatabaseIsNotTouched) {
  ASSERT_EQ(Query("CREATE TABLE theirs(x); INSERT INTO theirs VALUES (1)"), "");
  const std::string before = Bytes(path_);
  for (bool reset : {false, true}) {
    ResultsOptions options = Options();
    options.reset = reset;
    EXPECT_EQ(OpenStatus(options).code(), absl::StatusCode::kFailedPrecondition) << "also with --reset";
    EXPECT_TRUE(Bytes(path_) == before);
    EXPECT_NE(::access((path_ + "-wal").c_str(), F_OK), 0);
  }
}

// Names that SQLite has a meaning of its own for: a URI, and a database in memory.
TEST_F(ResultsFileTest, APathIsAPathAndNothingElse) {
  ASSERT_EQ(Query("CREATE TABLE theirs(x)"), "");
  const std::string before = Bytes(path_);
  const std::unique_ptr<char, decltype(&std::free)> before_us(::getcwd(nullptr, 0), std::free);
  ASSERT_EQ(::chdir(folder_.c_str()), 0);
  for (const char* name : {"file:results.db", "file:results.db?mode=rwc", ":memory:"}) {
    ResultsOptions options = Options();
    options.path = name;
    options.reset = true;
    EXPECT_TRUE(OpenStatus(options).ok()) << name;
    EXPECT_EQ(Bytes(name).substr(0, 15), "SQLite format 3") << name;
    EXPECT_TRUE(Bytes(path_) == before) << name;
  }
  ASSERT_EQ(::chdir(before_us.get()), 0);
}

TEST_F(ResultsFileTest, WhatIsNoDatabaseIsNotTouched) {
  for (const std::string& content : {std::string("hello"), std::string(5000, 'x'), std::string("SQLite format 3\0", 16)}) {
    std::ofstream(path_, std::ios::binary) << content;
    EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kUnknown);
    EXPECT_TRUE(Bytes(path_) == content);
  }
}

TEST_F(ResultsFileTest, AnEmptyFileBecomesAResultsFile) {
  std::ofstream(path_).flush();
  EXPECT_TRUE(OpenStatus().ok());
}

TEST_F(ResultsFileTest, AFolderAMissingFolderAndADeviceAreNamed) {
  ResultsOptions options = Options();
  options.path = folder_;
  EXPECT_NE(std::string(OpenStatus(options).message()).find("is a folder"), std::string::npos);
  options.path = folder_ + "/no/such/results.db";
  EXPECT_NE(std::string(OpenStatus(options).message()).find("does not exist"), std::string::npos);
  EXPECT_NE(::access((folder_ + "/no").c_str(), F_OK), 0) << "nothing was created";
  options.path = "/dev/null";
  EXPECT_NE(std::string(OpenStatus(options).message()).find("no regular file"), std::string::npos);
}

TEST_F(ResultsFileTest, AFormatOfTheFutureIsRefused) {
  Open().reset();
  ASSERT_EQ(Query("UPDATE weir_meta SET value = '99' WHERE name = 'format'"), "");
  const absl::Status status = OpenStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(status.message()).find("99"), std::string::npos) << status;
}

TEST_F(ResultsFileTest, ACorruptFileIsRefused) {
  {
    auto file = Open();
    Commit commit = AtWatermark(1);
    for (int i = 0; i < 50; ++i) commit.state.push_back({0, i, false, std::string(1000, 'x')});
    ASSERT_TRUE(file->Write(commit).ok());
    ASSERT_TRUE(file->Close().ok());
  }
  std::string bytes = Bytes(path_);
  ASSERT_GT(bytes.size(), 20'000u);
  std::fill(bytes.begin() + 100, bytes.end(), '\x5a');  // all but the header
  std::ofstream(path_, std::ios::binary) << bytes;
  const absl::Status status = OpenStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown) << status;
}

// ---- One writer.

TEST_F(ResultsFileTest, ASecondProcessIsKeptOutWhileTheFirstLives) {
  auto file = Open();
  const absl::Status status = OpenStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_NE(std::string(status.message()).find("pid " + std::to_string(::getpid())), std::string::npos) << status;
  file.reset();
  EXPECT_TRUE(OpenStatus().ok());
  EXPECT_NE(::access((path_ + ".lock").c_str(), F_OK), 0) << "the lock file goes with its holder";
}

// A lock file that a killed process left behind holds nobody up.
TEST_F(ResultsFileTest, AStaleLockFileIsNoLock) {
  std::ofstream(path_ + ".lock") << "pid 1";
  EXPECT_TRUE(OpenStatus().ok());
}

// Also while the file that the link leads to is yet to be made.
TEST_F(ResultsFileTest, TheLockGoesByTheFileWhateverLinkLeadsToIt) {
  ASSERT_EQ(::symlink("results.db", (folder_ + "/link.db").c_str()), 0);
  ResultsOptions linked = Options();
  linked.path = folder_ + "/link.db";
  auto first = Open(linked);
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(OpenStatus(linked).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(::access((path_ + ".lock").c_str(), F_OK), 0);
}

TEST_F(ResultsFileTest, ALinkIntoNoFolderIsNamed) {
  ASSERT_EQ(::symlink("no/results.db", path_.c_str()), 0);
  const absl::Status status = OpenStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  EXPECT_NE(std::string(status.message()).find("cannot create " + path_), std::string::npos) << status;
}

// Where the lock does not hold (another machine, a lock file removed by hand) the epoch does.
TEST_F(ResultsFileTest, AWriterThatWasTakenOverIsFenced) {
  auto first = Open();
  ASSERT_EQ(::unlink((path_ + ".lock").c_str()), 0);
  auto second = Open();
  ASSERT_NE(second, nullptr);
  Commit commit = AtWatermark(7);
  commit.windows.push_back(Closed(0, 0, 60'000, 0, {{"a", 1}}));
  EXPECT_EQ(first->Write(commit).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Query("SELECT count(*) FROM places"), "0\n") << "nothing of the fenced commit";
  EXPECT_TRUE(second->Write(commit).ok());
  EXPECT_EQ(first->Write(commit).code(), absl::StatusCode::kAborted) << "for good";
  EXPECT_EQ(Query("SELECT location FROM places"), "a\n");
}

// Whoever starts over, with --reset or because the first has read nothing yet, makes the tables anew; the epoch is none of those
// that were.
TEST_F(ResultsFileTest, AWriterWhoseTablesWereMadeAnewIsFenced) {
  for (const bool reset : {true, false}) {
    auto first = Open();
    ASSERT_EQ(::unlink((path_ + ".lock").c_str()), 0);
    ResultsOptions other = Options();
    other.reset = reset;
    if (!reset) other.job = {{"operators", "places,users"}, {"--window", "120s"}};
    auto second = Open(other);
    ASSERT_NE(second, nullptr);
    Commit commit = AtWatermark(7);
    commit.windows.push_back(Closed(0, 0, 60'000, 0, {{"a", 1}}));
    EXPECT_EQ(first->Write(commit).code(), absl::StatusCode::kAborted) << "reset: " << reset;
    EXPECT_EQ(Query("SELECT count(*) FROM places"), "0\n") << "reset: " << reset;
  }
}

TEST_F(ResultsFileTest, AnEpochThatAnotherProgramRaisedFencesToo) {
  auto file = Open();
  ASSERT_EQ(Query("UPDATE weir_meta SET value = '1000' WHERE name = 'epoch'"), "");
  EXPECT_EQ(file->Write(AtWatermark(7)).code(), absl::StatusCode::kAborted);
}

TEST_F(ResultsFileTest, AFileRenamedUnderWayTakesNoMoreCommits) {
  auto file = Open();
  ASSERT_TRUE(file->Write(AtWatermark(1)).ok());
  ASSERT_EQ(::rename(path_.c_str(), (path_ + ".moved").c_str()), 0);
  EXPECT_EQ(file->Write(AtWatermark(2)).code(), absl::StatusCode::kUnknown);
  std::ofstream(path_) << "another file in its place";
  EXPECT_EQ(file->Write(AtWatermark(3)).code(), absl::StatusCode::kUnknown);
  EXPECT_TRUE(Bytes(path_) == "another file in its place");
}

TEST_F(ResultsFileTest, ReadersSeeWholeCommitsOnlyAndHoldNobodyUp) {
  auto file = Open();
  sqlite3* reader = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &reader), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM places", nullptr, nullptr, nullptr), SQLITE_OK);
  Commit commit = AtWatermark(7);
  commit.windows.push_back(Closed(0, 0, 60'000, 0, {{"a", 1}, {"b", 1}}));
  EXPECT_TRUE(file->Write(commit).ok());
  int64_t seen = -1;
  const auto count = [](void* to, int, char** values, char**) {
    *static_cast<int64_t*>(to) = std::stoll(values[0]);
    return 0;
  };
  sqlite3_exec(reader, "SELECT count(*) FROM places", count, &seen, nullptr);
  EXPECT_EQ(seen, 0) << "the reader's transaction is a moment before the commit";
  sqlite3_exec(reader, "COMMIT; SELECT count(*) FROM places", count, &seen, nullptr);
  EXPECT_EQ(seen, 2);
  EXPECT_TRUE(file->Close().ok()) << "a reader does not hold the end up";
  sqlite3_close(reader);
}

// ---- Disks.

TEST_F(ResultsFileTest, AFullDiskIsRetriedAndTheCommitThenIsWhole) {
  auto file = Open();
  Commit commit = AtWatermark(7);
  commit.windows.push_back(Closed(0, 0, 60'000, 0, {{"a", 1}}));
  FailWrites(SQLITE_FULL, 1);  // somebody frees some space in time
  EXPECT_TRUE(file->Write(commit).ok());
  EXPECT_EQ(Query("SELECT location FROM places"), "a\n");
}

TEST_F(ResultsFileTest, AFullDiskEndsItAfterTheRetriesWithNothingWritten) {
  auto file = Open();
  Commit first = AtWatermark(7);
  first.windows.push_back(Closed(0, 0, 60'000, 0, {{"a", 1}}));
  first.partitions = {Progress("tweets", 0, 14)};
  ASSERT_TRUE(file->Write(first).ok());
  Commit commit = AtWatermark(8);
  commit.windows.push_back(Closed(0, 0, 60'000, 1, {{"b", 1}}));
  commit.partitions = {Progress("tweets", 0, 15)};
  FailWrites(SQLITE_FULL, 1'000'000);
  const absl::Status status = file->Write(commit);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_NE(std::string(status.message()).find("Tried 5 times"), std::string::npos) << status;
  g_disk_error = SQLITE_OK;
  file.reset();
  EXPECT_EQ(Query("SELECT location FROM places"), "a\n");
  EXPECT_EQ(Query("SELECT next_offset FROM weir_progress"), "14\n") << "offsets and rows belong together";
  EXPECT_EQ(Query("PRAGMA integrity_check"), "ok\n");
  EXPECT_TRUE(Open()->Write(commit).ok()) << "the next run goes on";
}

TEST_F(ResultsFileTest, AFailingDiskIsNamedAfterRetries) {
  auto file = Open();
  FailWrites(SQLITE_IOERR_WRITE, 1'000'000);
  const absl::Status status = file->Write(AtWatermark(7));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown) << status;
  EXPECT_NE(std::string(status.message()).find("disk failed"), std::string::npos) << status;
  EXPECT_NE(std::string(status.message()).find("Tried 5 times"), std::string::npos) << status;
  g_disk_error = SQLITE_OK;
  EXPECT_TRUE(file->Write(AtWatermark(8)).ok());
  EXPECT_EQ(Query("SELECT value FROM weir_meta WHERE name = 'watermark'"), "8\n");
}

// ---- Bounds and speed.

TEST_F(ResultsFileTest, LateAndDeadLettersKeepTheNewest) {
  ResultsOptions options = Options();
  options.tables.resize(1);
  auto file = Open(options);
  for (int64_t round = 0; round < 3; ++round) {
    Commit commit = AtWatermark(round);
    for (int64_t i = 0; i < 6'000; ++i) {
      commit.late.push_back({"t", 0, round * 6'000 + i, 0, false});
      commit.dead_letters.push_back({"t", 0, round * 6'000 + i, "r", ""});
    }
    ASSERT_TRUE(file->Write(commit).ok());
  }
  EXPECT_EQ(Query("SELECT count(*), min(\"offset\"), max(\"offset\") FROM weir_late"), "10000|8000|17999\n");
  EXPECT_EQ(Query("SELECT count(*), min(\"offset\"), max(\"offset\") FROM weir_dead_letters"), "10000|8000|17999\n");
  Commit many = AtWatermark(9);
  for (int64_t i = 0; i < 25'000; ++i) many.late.push_back({"t", 0, 100'000 + i, 0, false});
  ASSERT_TRUE(file->Write(many).ok());
  EXPECT_EQ(Query("SELECT count(*), min(\"offset\"), max(\"offset\") FROM weir_late"), "10000|115000|124999\n");
}

// Bound unchecked it would be a NULL, and the error one of a constraint.
TEST_F(ResultsFileTest, AValueLargerThanSqliteTakesIsNamed) {
  const auto lower = +[](sqlite3* db, char**, const sqlite3_api_routines*) {
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 100'000);
    return SQLITE_OK;
  };
  sqlite3_auto_extension(reinterpret_cast<void (*)()>(lower));
  auto file = Open();
  sqlite3_reset_auto_extension();
  Commit commit = AtWatermark(1);
  commit.state.push_back({0, 0, false, std::string(200'000, 'x')});
  const absl::Status status = file->Write(commit);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  for (const char* part : {"100000 bytes", "weir_state"}) EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status;
  EXPECT_TRUE(file->Write(AtWatermark(2)).ok());
}

// The series of one key is found by an index: the primary key, skipped through window by window.
TEST_F(ResultsFileTest, TheSeriesOfOneKeyIsFoundThroughTheIndex) {
  auto file = Open();
  for (const char* from : {"places", "places_view"}) {
    const std::string plan = Query(std::string("EXPLAIN QUERY PLAN SELECT window_end, tweets FROM ") + from + " WHERE location = 'Oslo'");
    EXPECT_NE(plan.find("ANY(window_end) AND location=?"), std::string::npos) << plan;
  }
  const std::string plan = Query("EXPLAIN QUERY PLAN SELECT * FROM places WHERE window_end = 5");
  EXPECT_NE(plan.find("SEARCH places USING PRIMARY KEY (window_end=?)"), std::string::npos) << plan;
}

TEST_F(ResultsFileTest, ReleasedPanesLeaveTheFile) {
  auto file = Open();
  Commit commit = AtWatermark(1);
  for (int64_t pane = -3; pane < 5; ++pane) commit.state.push_back({static_cast<uint32_t>(pane & 1), pane, false, "x"});
  ASSERT_TRUE(file->Write(commit).ok());
  Commit release = AtWatermark(2);
  release.release_before_pane = 2;
  ASSERT_TRUE(file->Write(release).ok());
  EXPECT_EQ(Query("SELECT group_concat(pane) FROM (SELECT pane FROM weir_state ORDER BY pane)"), "2,3,4\n");
}

// The file is made with the umask of the user, nothing narrower or wider.
TEST_F(ResultsFileTest, TheUmaskDecidesWhoMayRead) {
  const mode_t before = ::umask(027);
  Open().reset();
  ::umask(before);
  struct stat st;
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0640u);
}

}  // namespace
}  // namespace weir
