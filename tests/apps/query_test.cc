#include "apps/query.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "gtest/gtest.h"

namespace weir {
namespace {

namespace fs = std::filesystem;

// A results file as section 2 of the reference describes it, with one window of two operators and a newer one
// of the first.
constexpr const char kSchema[] = R"(
PRAGMA journal_mode=WAL;
PRAGMA application_id=0x77656972;
CREATE TABLE tweets_by_location(window_start INTEGER NOT NULL, window_end INTEGER NOT NULL, location TEXT NOT NULL,
  tweets INTEGER NOT NULL, PRIMARY KEY(window_end, location)) STRICT, WITHOUT ROWID;
CREATE TABLE user_mentions(window_start INTEGER NOT NULL, window_end INTEGER NOT NULL, user TEXT NOT NULL,
  mentions INTEGER NOT NULL, PRIMARY KEY(window_end, user)) STRICT, WITHOUT ROWID;
CREATE TABLE weir_windows(operator TEXT, window_start INTEGER, window_end INTEGER, revision INTEGER, records INTEGER,
  keys INTEGER, PRIMARY KEY(operator, window_end)) STRICT, WITHOUT ROWID;
CREATE VIEW tweets_by_location_latest AS SELECT strftime('%Y-%m-%d %H:%M:%f', window_start / 1000.0, 'unixepoch')
  AS window_start, strftime('%Y-%m-%d %H:%M:%f', window_end / 1000.0, 'unixepoch') AS window_end, location, tweets
  FROM tweets_by_location WHERE window_end = (SELECT max(window_end) FROM tweets_by_location)
  ORDER BY tweets DESC, location;
CREATE VIEW user_mentions_latest AS SELECT window_start, window_end, user, mentions FROM user_mentions;
CREATE VIEW someone_elses_latest AS SELECT 1;
)";
constexpr const char kRows[] = R"(
INSERT INTO tweets_by_location VALUES (1430429580000, 1430429640000, 'Old', 9),
  (1430429610000, 1430429670000, 'Paris', 1023), (1430429610000, 1430429670000, '東京', 12),
  (1430429610000, 1430429670000, 'Oslo', 12);
INSERT INTO user_mentions VALUES (1430429580000, 1430429640000, 'ana', 2);
INSERT INTO weir_windows VALUES ('tweets_by_location', 1430429580000, 1430429640000, 0, 9, 1),
  ('tweets_by_location', 1430429610000, 1430429670000, 1, 1047, 3),
  ('user_mentions', 1430429580000, 1430429640000, 0, 2, 1);
)";

struct Result {
  int exit;
  std::string out, err;
};

std::string Content(std::FILE* file) {
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

Result Queried(const QueryOptions& options) {
  std::FILE* const out = std::tmpfile();
  std::FILE* const err = std::tmpfile();
  Result result;
  result.exit = RunQuery(options, out, err);
  result.out = Content(out);
  result.err = Content(err);
  return result;
}

std::string Bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class QueryTest : public testing::Test {
 protected:
  QueryTest() {
    std::string name = (fs::temp_directory_path() / "weir_query_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ / "results.db";
  }
  ~QueryTest() override { fs::remove_all(folder_); }

  static sqlite3* Connect(const fs::path& path) {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    return db;
  }
  static void Exec(sqlite3* db, const char* sql) {
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, &message), SQLITE_OK) << (message ? message : "");
    sqlite3_free(message);
  }
  void Create(const char* rows = kRows) {
    sqlite3* const db = Connect(path_);
    Exec(db, kSchema);
    Exec(db, rows);
    sqlite3_close(db);
  }
  Result Sql(const std::string& sql, RowFormat format = RowFormat::kCsv) {
    return Queried({.path = path_, .sql = sql, .format = format});
  }
  Result Newest(std::optional<RowFormat> format = std::nullopt) {
    return Queried({.path = path_, .sql = {}, .format = format});
  }

  fs::path folder_, path_;
};

// ---- Without SQL

TEST_F(QueryTest, TablesAndViewsThatUsersAddedAreNoOperators) {
  Create();
  const std::string before = Newest(RowFormat::kTable).out;
  sqlite3* const db = Connect(path_);
  Exec(db, "CREATE TABLE z(a, b); CREATE VIEW z_latest AS SELECT * FROM z");
  sqlite3_close(db);
  const Result result = Newest(RowFormat::kTable);
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_EQ(result.out, before);
}

TEST_F(QueryTest, NewestWindowOfEachOperator) {
  Create();
  const Result result = Newest(RowFormat::kTable);
  EXPECT_EQ(result.out,
            "tweets_by_location  [2015-04-30 21:33:30 .. 21:34:30) UTC  1,047 tweets, 3 locations  "
            "corrected, revision 1\n"
            "  Paris  1,023\n"
            "  Oslo      12\n"
            "  東京      12\n"
            "\n"
            "user_mentions  [2015-04-30 21:33:00 .. 21:34:00) UTC  2 mentions, 1 user\n"
            "  ana  2\n");
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.exit, 0);
}

// What is no terminal is a program: the same rows as `weir run --stdout jsonl` prints.
TEST_F(QueryTest, OffATerminalTheDefaultIsJsonl) {
  Create();
  EXPECT_EQ(
      Newest().out,
      R"({"operator":"tweets_by_location","window_start":"2015-04-30T21:33:30.000Z","window_end":"2015-04-30T21:34:30.000Z","revision":1,"location":"Paris","tweets":1023})"
      "\n"
      R"({"operator":"tweets_by_location","window_start":"2015-04-30T21:33:30.000Z","window_end":"2015-04-30T21:34:30.000Z","revision":1,"location":"Oslo","tweets":12})"
      "\n"
      R"({"operator":"tweets_by_location","window_start":"2015-04-30T21:33:30.000Z","window_end":"2015-04-30T21:34:30.000Z","revision":1,"location":"東京","tweets":12})"
      "\n"
      R"({"operator":"user_mentions","window_start":"2015-04-30T21:33:00.000Z","window_end":"2015-04-30T21:34:00.000Z","revision":0,"user":"ana","mentions":2})"
      "\n");
  EXPECT_EQ(Queried({.path = path_, .terminal = true, .color = false}).out, Newest(RowFormat::kTable).out);
}

TEST_F(QueryTest, CsvIsForOneOperator) {
  Create();
  const Result two = Newest(RowFormat::kCsv);
  EXPECT_EQ(two.exit, 2);
  EXPECT_NE(two.err.find("weir query DB 'select * from tweets_by_location_latest'"), std::string::npos)
      << two.err;

  sqlite3* const db = Connect(path_);
  Exec(db, "DROP TABLE user_mentions; DROP VIEW user_mentions_latest");
  sqlite3_close(db);
  EXPECT_EQ(Newest(RowFormat::kCsv).out,
            "window_start,window_end,location,tweets\n"
            "1430429610000,1430429670000,Paris,1023\n"
            "1430429610000,1430429670000,Oslo,12\n"
            "1430429610000,1430429670000,東京,12\n");
}

TEST_F(QueryTest, NothingClosedYetIsSaidAndIsNoError) {
  Create("");
  const Result result = Newest();
  EXPECT_EQ(result.exit, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err,
            "tweets_by_location: no window has closed yet\nuser_mentions: no window has closed yet\n");
}

// ---- SQL

TEST_F(QueryTest, TableAlignsByDisplayWidthAndShowsControlsAsText) {
  Create(
      "INSERT INTO tweets_by_location VALUES (0, 1, '東京', 12), (0, 1, char(27) || '[2J', 7), "
      "(0, 1, 'a' || char(13) || 'b', 1234567), (0, 1, char(8238) || 'x', 1), (0, 1, '🗼', 5);");
  const Result result =
      Sql("SELECT location, tweets, CASE tweets WHEN 7 THEN NULL ELSE tweets / 2.0 END AS half "
          "FROM tweets_by_location ORDER BY tweets DESC",
          RowFormat::kTable);
  EXPECT_EQ(result.out,
            "location    tweets      half\n"
            "a\\x0db     1234567  617283.5\n"
            "東京            12       6.0\n"
            "\\x1b[2J          7      NULL\n"
            "🗼               5       2.5\n"
            "\\u{202e}x        1       0.5\n");
  EXPECT_EQ(result.exit, 0);
}

TEST_F(QueryTest, ViewsWithReadableTimesWork) {
  Create();
  EXPECT_EQ(Sql("SELECT * FROM tweets_by_location_latest LIMIT 1").out,
            "window_start,window_end,location,tweets\n2015-04-30 21:33:30.000,2015-04-30 "
            "21:34:30.000,Paris,1023\n");
}

TEST_F(QueryTest, ValuesArePrintedExactly) {
  Create();
  const std::string sql =
      "SELECT NULL AS n, '' AS e, 9223372036854775807 AS i, 0.1 AS r, 1e0 AS one, 1e300 AS big, "
      "9e999 AS inf, x'00ff' AS b, 'a' || char(0) || 'b' AS t";
  EXPECT_EQ(
      Sql(sql, RowFormat::kJsonl).out,
      R"({"n":null,"e":"","i":9223372036854775807,"r":0.1,"one":1.0,"big":1e+300,"inf":9e999,"b":"00ff","t":"a\u0000b"})"
      "\n");
  EXPECT_EQ(Sql(sql).out, std::string("n,e,i,r,one,big,inf,b,t\n"
                                      ",\"\",9223372036854775807,0.1,1.0,1e+300,inf,x'00ff',a\0b\n",
                                      79));
  EXPECT_EQ(Sql(sql, RowFormat::kTable).out,
            "n     e                    i    r  one     big  inf  b        t\n"
            "NULL     9223372036854775807  0.1  1.0  1e+300  inf  x'00ff'  a\\x00b\n");
}

TEST_F(QueryTest, EqualColumnNamesStayApartInJsonl) {
  Create();
  EXPECT_EQ(Sql("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a", RowFormat::kJsonl).out,
            "{\"a\":1,\"a_2\":2,\"a_2_2\":3,\"a_3\":4}\n");
}

TEST_F(QueryTest, CsvQuotesWhereNeeded) {
  Create();
  EXPECT_EQ(
      Sql("SELECT 'a,b' AS \"x\"\"y\", 'say \"hi\"' AS q, 'two' || char(10) || 'lines' AS l, 'plain' AS p")
          .out,
      "\"x\"\"y\",q,l,p\n\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",plain\n");
}

TEST_F(QueryTest, ManyRowsOfATableAllCome) {
  Create();
  const Result result =
      Sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
          "SELECT i, 'row ' || i AS name FROM n",
          RowFormat::kTable);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 5001);
  EXPECT_NE(result.out.find("\n5000  row 5000\n"), std::string::npos);
}

TEST_F(QueryTest, NoRowsAreAHeaderOrNothing) {
  Create();
  EXPECT_EQ(Sql("SELECT location FROM tweets_by_location WHERE 0", RowFormat::kTable).out, "location\n");
  EXPECT_EQ(Sql("SELECT location FROM tweets_by_location WHERE 0", RowFormat::kCsv).out, "location\n");
  EXPECT_EQ(Sql("SELECT location FROM tweets_by_location WHERE 0", RowFormat::kJsonl).out, "");
}

TEST_F(QueryTest, UsualReadingIsAllowed) {
  Create();
  for (const char* sql :
       {"SELECT 1", "SELECT 1;", "SELECT 1 ; -- the end\n ;; /* really */", "-- first\nSELECT 1",
        "VALUES (1)", "EXPLAIN QUERY PLAN SELECT * FROM user_mentions", "PRAGMA table_info(user_mentions)",
        "SELECT name FROM pragma_table_info('user_mentions')", "SELECT name FROM sqlite_master",
        "SELECT value FROM json_each('[1,2]')", "PRAGMA integrity_check",
        "SELECT sum(tweets) OVER (ORDER BY window_end) FROM tweets_by_location"}) {
    const Result result = Sql(sql);
    EXPECT_EQ(result.exit, 0) << sql << ": " << result.err;
    EXPECT_EQ(result.err, "");
    EXPECT_NE(result.out, "") << sql;
  }
}

TEST_F(QueryTest, EverythingThatWritesIsRefusedAndTheFileStays) {
  Create();
  const std::string before = Bytes(path_);
  const std::string other = (folder_ / "other.db").string();
  const struct {
    std::string sql, what;
  } kCases[] = {
      {"INSERT INTO user_mentions VALUES (1, 2, 'x', 3)", "INSERT into user_mentions"},
      {"UPDATE user_mentions SET mentions = 0", "UPDATE of user_mentions"},
      {"DELETE FROM user_mentions", "DELETE from user_mentions"},
      {"WITH a AS (SELECT 1) DELETE FROM user_mentions", "DELETE from user_mentions"},
      {"DROP TABLE user_mentions", "is refused"},
      {"CREATE TABLE t(a)", "read-only"},
      {"CREATE TABLE t AS SELECT 1", "read-only"},
      {"CREATE VIEW v AS SELECT 1", "is refused"},
      {"CREATE INDEX i ON user_mentions(user)", "is refused"},
      {"UPDATE sqlite_master SET sql = 'x'", "may not be modified"},
      {"DELETE FROM sqlite_master", "may not be modified"},
      {"INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)", "may not be modified"},
      {"CREATE TEMP TABLE t(a)", "is refused"},
      {"CREATE VIRTUAL TABLE t USING fts5(a)", "is refused"},
      {"ALTER TABLE user_mentions RENAME TO u", "is refused"},
      {"ATTACH '" + other + "' AS other", "ATTACH is refused"},
      {"DETACH main", "DETACH is refused"},
      {"VACUUM", "read-only"},
      {"VACUUM INTO '" + other + "'", "read-only"},
      {"REINDEX", "read-only"},
      {"ANALYZE", "is refused"},
      {"BEGIN", "BEGIN is refused"},
      {"COMMIT", "COMMIT is refused"},
      {"SAVEPOINT a", "SAVEPOINT is refused"},
      {"PRAGMA journal_mode=DELETE", "PRAGMA journal_mode is refused"},
      {"PRAGMA user_version=7", "PRAGMA user_version is refused"},
      {"PRAGMA writable_schema=1", "PRAGMA writable_schema is refused"},
      {"PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint is refused"},
      {"PRAGMA query_only=0", "PRAGMA query_only is refused"},
      {"SELECT load_extension('x')", "load_extension"},
      {"SELECT 1; DROP TABLE user_mentions", "one statement at a time"},
      {"SELECT 1; SELECT 2", "one statement at a time"},
      {"SELECT 1; nonsense", "one statement at a time"},
      {"", "no statement"},
      {" -- nothing\n;", "no statement"},
  };
  for (const auto& c : kCases) {
    const Result result = Sql(c.sql);
    EXPECT_EQ(result.exit, 2) << c.sql;
    EXPECT_EQ(result.out, "") << c.sql;
    EXPECT_NE(result.err.find(c.what), std::string::npos) << c.sql << ": " << result.err;
  }
  EXPECT_EQ(Bytes(path_), before);
  EXPECT_FALSE(fs::exists(other));
}

TEST_F(QueryTest, ErrorsPointAtTheirPlace) {
  Create();
  EXPECT_EQ(Sql("select tweet from tweets_by_location").err,
            "weir query: no such column: tweet\n"
            "  select tweet from tweets_by_location\n"
            "         ^\n");
  EXPECT_EQ(Sql("select '東京',\n  '東京', nope,\n 1").err,
            "weir query: no such column: nope\n"
            "    '東京', nope,\n"
            "            ^\n");
  EXPECT_EQ(Sql("select 1; select 2").err,
            "weir query: one statement at a time, and another begins here:\n"
            "  select 1; select 2\n"
            "           ^\n");
  const Result result = Sql("select * from \"\x1b[2J\"");
  EXPECT_EQ(result.exit, 2);
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos) << "an error text must not steer the terminal";
}

TEST_F(QueryTest, NothingInRowsSteersATerminal) {
  Create();
  for (const RowFormat format : {RowFormat::kTable, RowFormat::kCsv, RowFormat::kJsonl}) {
    QueryOptions options = {.path = path_, .sql = "SELECT char(27) || '[2J' AS \"\x1b[1m\"", .format = format, .terminal = true, .color = false};
    EXPECT_EQ(Queried(options).out.find('\x1b'), std::string::npos) << static_cast<int>(format);
    options.terminal = false;
    EXPECT_EQ(Queried(options).out.find('\x1b') != std::string::npos, format == RowFormat::kCsv) << "a program gets the bytes of a cell";
  }
}

// Found while rows come: those before it are printed, and the exit code tells.
TEST_F(QueryTest, ErrorsWhileRunningAreReported) {
  Create();
  const Result result = Sql("SELECT json(value) FROM (SELECT '[1]' AS value UNION ALL SELECT '[')");
  EXPECT_EQ(result.exit, 2);
  EXPECT_NE(result.err.find("malformed JSON"), std::string::npos) << result.err;
}

TEST_F(QueryTest, AnInterruptEndsALongQuery) {
  Create();
  std::atomic<bool> stop = false;
  std::thread signal([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  const Result result =
      Queried({.path = path_,
               .sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
               .interrupt = &stop});
  signal.join();
  EXPECT_EQ(result.exit, 130);
  EXPECT_EQ(result.err, "weir query: interrupted\n");
}

// ---- Files

TEST_F(QueryTest, ReadsWhatARunningJobHasCommitted) {
  Create();
  sqlite3* const job = Connect(path_);
  Exec(job, "PRAGMA wal_autocheckpoint=0; INSERT INTO user_mentions VALUES (0, 1430429670000, 'bo', 7)");
  Exec(job, "BEGIN IMMEDIATE; INSERT INTO user_mentions VALUES (0, 1430429700000, 'uncommitted', 8)");
  const Result result = Newest();
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_NE(result.out.find("\"user\":\"bo\",\"mentions\":7"), std::string::npos) << result.out;
  Exec(job, "COMMIT");
  EXPECT_NE(Newest().out.find("uncommitted"), std::string::npos);
  sqlite3_close(job);
}

// A killed job leaves its commits in the log, not in the database.
TEST_F(QueryTest, ReadsWhatAKilledJobHasCommitted) {
  Create();
  const pid_t job = ::fork();
  ASSERT_GE(job, 0);
  if (job == 0) {
    sqlite3* const db = Connect(path_);
    Exec(db, "PRAGMA wal_autocheckpoint=0; INSERT INTO user_mentions VALUES (0, 1430429670000, 'bo', 7)");
    Exec(db, "BEGIN; INSERT INTO user_mentions VALUES (0, 1430429700000, 'lost', 8)");
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(job, &status, 0), job);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_GT(fs::file_size(path_.string() + "-wal"), 0u);
  const std::string before = Bytes(path_), log = Bytes(path_.string() + "-wal");

  const std::string expected = "user\nbo\n";
  EXPECT_EQ(Sql("SELECT user FROM user_mentions ORDER BY window_end DESC LIMIT 1").out, expected);
  fs::remove(path_.string() + "-shm");  // copied elsewhere without the index of the log
  EXPECT_EQ(Sql("SELECT user FROM user_mentions ORDER BY window_end DESC LIMIT 1").out, expected);
  EXPECT_EQ(Bytes(path_), before);
  EXPECT_EQ(Bytes(path_.string() + "-wal"), log);
}

TEST_F(QueryTest, ReadsAFinishedFileInAReadOnlyFolder) {
  Create();
  fs::permissions(folder_, fs::perms(0555));
  const pid_t reader = ::fork();
  ASSERT_GE(reader, 0);
  if (reader == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(99);  // root may write everywhere
    if (std::FILE* const file = std::fopen((folder_ / "new").c_str(), "w"); file != nullptr) ::_exit(98);
    ::_exit(Sql("SELECT count(*) AS n FROM user_mentions").out == "n\n1\n" ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(reader, &status, 0), reader);
  fs::permissions(folder_, fs::perms::owner_all);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Names that SQLite would take for something else than a file.
TEST_F(QueryTest, PathsArePaths) {
  Create();
  for (const char* name : {"with space & ?mode=rwc#x%41.db", "file:x.db", "東京'\".db"}) {
    const fs::path path = folder_ / name;
    fs::copy_file(path_, path);
    EXPECT_EQ(Queried({.path = path, .sql = "SELECT 1 AS n"}).exit, 0) << name;
  }
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  EXPECT_EQ(Queried({.path = "file:x.db", .sql = "SELECT 1 AS n"}).exit, 0);
  EXPECT_EQ(Queried({.path = "results.db", .sql = "SELECT 1 AS n"}).exit, 0);
  EXPECT_EQ(Queried({.path = ":memory:", .sql = "SELECT 1 AS n"}).exit, 74);
  EXPECT_EQ(Queried({.path = "", .sql = "SELECT 1 AS n"}).exit, 74);
  fs::current_path(before);
}

// What a job that was killed in its first transaction leaves, and what one that begins has for a moment.
TEST_F(QueryTest, AnEmptyFileIsCalledEmpty) {
  std::ofstream(path_).flush();
  for (int again = 0; again < 2; ++again) {
    const Result result = Newest();
    EXPECT_EQ(result.exit, 78);
    EXPECT_NE(result.err.find("empty"), std::string::npos) << result.err;
    sqlite3* const db = Connect(path_);
    Exec(db, "CREATE TABLE t(a); DROP TABLE t");
    sqlite3_close(db);
  }
}

TEST_F(QueryTest, WrongFilesAreNamedAndLeftAlone) {
  const Result missing = Queried({.path = folder_ / "no.db"});
  EXPECT_EQ(missing.exit, 74);
  EXPECT_EQ(missing.err, "weir query: results file " + (folder_ / "no.db").string() +
                             ": there is no such file. Give the file that --output named.\n");
  EXPECT_FALSE(fs::exists(folder_ / "no.db"));

  const Result folder = Queried({.path = folder_});
  EXPECT_EQ(folder.exit, 74);
  EXPECT_NE(folder.err.find("not a regular file"), std::string::npos);

  std::ofstream(path_) << std::string(5000, 'x');
  const Result text = Newest();
  EXPECT_EQ(text.exit, 74);
  EXPECT_NE(text.err.find("not an SQLite database"), std::string::npos) << text.err;

  std::ofstream(path_, std::ios::trunc).close();
  EXPECT_EQ(Newest().exit, 78);  // empty: what SQLite calls a database without tables
  fs::remove(path_);

  sqlite3* const db = Connect(path_);
  Exec(db, "CREATE TABLE t(a); PRAGMA application_id=0x01020304");
  sqlite3_close(db);
  const std::string before = Bytes(path_);
  const Result other = Newest();
  EXPECT_EQ(other.exit, 78);
  EXPECT_NE(other.err.find("another program's database (application_id 0x01020304, weir's is 0x77656972)"),
            std::string::npos)
      << other.err;
  EXPECT_EQ(Bytes(path_), before);
}

TEST_F(QueryTest, DamageIsAnErrorNotACrash) {
  Create();
  std::string bytes = Bytes(path_);
  ASSERT_GT(bytes.size(), 8192u);
  for (size_t i = 4096; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31);
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  const Result result = Sql("SELECT * FROM tweets_by_location");
  EXPECT_EQ(result.exit, 74);
  EXPECT_NE(result.err.find("damaged"), std::string::npos) << result.err;
}

TEST_F(QueryTest, AFileLockedByOthersIsSaidAfterTheTimeout) {
  Create();
  sqlite3* const db = Connect(path_);
  Exec(db, "PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE");
  const Result result = Queried({.path = path_, .busy_timeout_ms = 50});
  EXPECT_EQ(result.exit, 74);
  EXPECT_NE(result.err.find("holds it locked"), std::string::npos) << result.err;
  sqlite3_close(db);
}

// ---- Output

TEST_F(QueryTest, AFullDiskIsAnErrorAndAClosedPipeIsNot) {
  Create();
  const QueryOptions options = {.path = path_, .sql = "SELECT * FROM tweets_by_location"};
  if (std::FILE* const full = std::fopen("/dev/full", "w"); full != nullptr) {
    EXPECT_EQ(RunQuery(options, full, stderr), 74);
    std::fclose(full);
  }
  ::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  std::FILE* const pipe = ::fdopen(ends[1], "w");
  EXPECT_EQ(RunQuery(options, pipe, stderr), 0);
  std::fclose(pipe);
}

TEST_F(QueryTest, ColourOnlyWhereAsked) {
  Create();
  const auto colored = [this] {
    return Queried({.path = path_, .sql = "SELECT 1 AS n", .terminal = true}).out.find('\x1b') !=
           std::string::npos;
  };
  ::unsetenv("NO_COLOR");
  EXPECT_TRUE(colored());
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(colored());
  ::unsetenv("NO_COLOR");
  EXPECT_EQ(Sql("SELECT 1 AS n", RowFormat::kTable).out, "n\n1\n");
}

}  // namespace
}  // namespace weir
