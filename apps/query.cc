#include "apps/query.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "fmt/format.h"

#include "apps/print.h"
#include "engine/sink/text.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

constexpr int64_t kApplicationId = 0x77656972;  // "weir", in the header of every results file
constexpr size_t kMeasuredRows = 1000;          // a table's columns are as wide as these rows need
constexpr size_t kMaxCellColumns = 60;
constexpr size_t kOutputBytes = 64 << 10;

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using DatabaseHandle = std::unique_ptr<sqlite3, CloseDatabase>;
using StatementHandle = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// What the authorizer refused last.
struct Refusal {
  std::string what;
};

// A connection that reads one results file.
struct Database {
  std::string path;
  std::unique_ptr<Refusal> refusal = std::make_unique<Refusal>();  // outlives the connection
  DatabaseHandle handle = nullptr;
  sqlite3* get() const { return handle.get(); }
};

// ---- Errors

absl::Status FileError(const std::string& path, std::string_view what) {
  return absl::UnknownError(fmt::format("results file {}: {}", Printable(path), what));
}

// A failure of SQLite that the SQL is not to blame for; nullopt for others.
std::optional<absl::Status> EnvironmentError(const Database& db, int code) {
  switch (code & 0xff) {
    case SQLITE_INTERRUPT:
      return absl::CancelledError("interrupted");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return FileError(db.path,
                       "another process holds it locked for itself. Try again when it has finished.");
    case SQLITE_NOTADB:
      return FileError(db.path, "not an SQLite database. Give the file that --output named.");
    case SQLITE_CORRUPT:
      return FileError(db.path, fmt::format("damaged ({})", sqlite3_errmsg(db.get())));
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return FileError(db.path, fmt::format("cannot be read ({})", sqlite3_errmsg(db.get())));
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError("out of memory");
    default:
      return std::nullopt;
  }
}

absl::Status AnyError(const Database& db, int code) {
  if (std::optional<absl::Status> status = EnvironmentError(db, code)) return *status;
  return FileError(db.path, sqlite3_errmsg(db.get()));
}

// The line of `sql` that holds byte `offset`, and a caret below that byte.
std::string Pointed(std::string_view sql, size_t offset) {
  offset = std::min(offset, sql.size());
  const size_t newline = offset == 0 ? std::string_view::npos : sql.rfind('\n', offset - 1);
  const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  const std::string_view line = sql.substr(begin, sql.find('\n', begin) - begin);
  const std::string before = Printable(line.substr(0, offset - begin));
  return fmt::format("\n  {}\n  {}^", Printable(line), std::string(DisplayWidth(before), ' '));
}

absl::Status SqlError(const Database& db, std::string_view sql, int code) {
  if (std::optional<absl::Status> status = EnvironmentError(db, code)) return *status;
  if (!db.refusal->what.empty()) {  // the code need not be SQLITE_AUTH
    return absl::InvalidArgumentError(
        fmt::format("a query is read-only, {} is refused. Open a copy of the file with sqlite3 to change it.",
                    Printable(db.refusal->what)));
  }
  const int offset = sqlite3_error_offset(db.get());
  return absl::InvalidArgumentError(
      fmt::format("{}{}", Printable(sqlite3_errmsg(db.get())),
                  offset >= 0 ? Pointed(sql, static_cast<size_t>(offset)) : ""));
}

// ---- Opening

// What SQL may do. Everything else (writing, ATTACH, transactions, most pragmas, load_extension) is refused
// while the statement is prepared: sqlite3_stmt_readonly alone would let ATTACH and BEGIN through.
int Authorize(void* refusal, int action, const char* first, const char* second, const char*, const char*) {
  static constexpr std::string_view kPragmas[] = {
      "table_info",      "table_xinfo",     "table_list",  "index_list",     "index_info",
      "index_xinfo",     "database_list",   "page_count",  "page_size",      "user_version",
      "application_id",  "integrity_check", "quick_check", "collation_list", "function_list",
      "compile_options", "foreign_key_list"};
  const auto text = [](const char* s) { return std::string(s == nullptr ? "" : s); };
  const auto refuse = [&](std::string what) {
    static_cast<Refusal*>(refusal)->what = std::move(what);
    return SQLITE_DENY;
  };
  const bool schema = text(first) == "sqlite_master";
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    // Table-valued functions (json_each, pragma_table_info) declare their columns with the next three. Of a
    // statement that does so itself, sqlite3_stmt_readonly tells.
    case SQLITE_CREATE_TABLE:
      return SQLITE_OK;
    case SQLITE_INSERT:
      return schema ? SQLITE_OK : refuse("INSERT into " + text(first));
    case SQLITE_UPDATE:
      return schema ? SQLITE_OK : refuse("UPDATE of " + text(first));
    case SQLITE_FUNCTION:
      return text(second) == "load_extension" ? refuse("load_extension()") : SQLITE_OK;
    case SQLITE_PRAGMA: {
      const std::string name = text(first);
      const bool known = std::find(std::begin(kPragmas), std::end(kPragmas), name) != std::end(kPragmas);
      const bool sets =
          second != nullptr && (name == "user_version" || name == "application_id" || name == "page_size");
      return known && !sets ? SQLITE_OK : refuse("PRAGMA " + name);
    }
    case SQLITE_DELETE:
      return refuse(schema ? "this statement" : "DELETE from " + text(first));
    case SQLITE_ATTACH:
      return refuse("ATTACH");
    case SQLITE_DETACH:
      return refuse("DETACH");
    case SQLITE_TRANSACTION:
      return refuse(text(first));
    case SQLITE_SAVEPOINT:
      return refuse("SAVEPOINT");
    default:
      return refuse("this statement");
  }
}

// A URI, so that "?mode=ro" can be said, and a path like ":memory:" or "file:x" is a path.
std::string Uri(const std::string& path, std::string_view parameters) {
  std::string uri = path.starts_with('/') ? "file:" : "file:./";
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '/' || c == '.' || c == '_' || c == '-';
    if (plain) {
      uri.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(uri), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return uri.append("?mode=ro").append(parameters);
}

// Opens `uri` and reads its first page. On success `application_id` is set.
int Connect(const std::string& uri, const QueryOptions& options, Database& db, int64_t& application_id) {
  sqlite3* handle = nullptr;
  int code = sqlite3_open_v2(uri.c_str(), &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
  db.handle.reset(handle);
  if (code != SQLITE_OK) return code;
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  // The file may come from a stranger: its schema gets no powers, and damage is noticed rather than followed.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_exec(handle, "PRAGMA cell_size_check=1; PRAGMA query_only=1", nullptr, nullptr, nullptr);
  if (options.interrupt != nullptr) {
    // Called once per 10,000 steps of SQLite's machine, well below a millisecond.
    sqlite3_progress_handler(
        handle, 10'000,
        [](void* stop) { return static_cast<const std::atomic<bool>*>(stop)->load() ? 1 : 0; },
        const_cast<std::atomic<bool>*>(options.interrupt));
  }
  sqlite3_stmt* raw = nullptr;
  code = sqlite3_prepare_v2(handle, "PRAGMA application_id", -1, &raw, nullptr);
  const StatementHandle statement(raw);
  if (code == SQLITE_OK) code = sqlite3_step(raw);
  if (code != SQLITE_ROW) return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
  application_id = sqlite3_column_int64(raw, 0);
  return SQLITE_OK;
}

absl::StatusOr<bool> IsEmpty(const Database& db) {
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(db.get(), "SELECT count(*) FROM sqlite_master", -1, &raw, nullptr);
  const StatementHandle statement(raw);
  if (code == SQLITE_OK) code = sqlite3_step(raw);
  if (code != SQLITE_ROW) return AnyError(db, code);
  return sqlite3_column_int64(raw, 0) == 0;
}

absl::StatusOr<Database> Open(const QueryOptions& options) {
  Database db{.path = options.path};
  struct stat info = {};
  if (::stat(options.path.c_str(), &info) != 0) {
    const int error = errno;
    if (error == ENOENT)
      return FileError(options.path, "there is no such file. Give the file that --output named.");
    return FileError(options.path, std::generic_category().message(error));
  }
  if (!S_ISREG(info.st_mode)) return FileError(options.path, "not a regular file");  // a pipe would hang
  if (::access(options.path.c_str(), R_OK) != 0) {
    return FileError(options.path, fmt::format("cannot be read: {}", std::generic_category().message(errno)));
  }

  int64_t application_id = 0;
  int code = Connect(Uri(options.path, ""), options, db, application_id);
  struct stat wal = {};
  if (((code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY) &&
      (::stat((options.path + "-wal").c_str(), &wal) != 0 || wal.st_size == 0)) {
    // A finished file on a read-only medium: SQLite wants to create the index of a log that does not exist.
    // Nobody who could not create it either can be writing, as far as this process can know.
    code = Connect(Uri(options.path, "&immutable=1"), options, db, application_id);
  }
  if (code != SQLITE_OK) return AnyError(db, code);
  if (application_id == 0) {
    WEIR_ASSIGN_OR_RETURN(const bool empty, IsEmpty(db));
    if (empty) {
      return absl::FailedPreconditionError(fmt::format(
          "results file {}: empty. A job that is about to begin, or was killed as it did, leaves it so: try again, or run the "
          "job again.",
          Printable(options.path)));
    }
  }
  if (application_id != kApplicationId) {
    return absl::FailedPreconditionError(fmt::format(
        "results file {}: another program's database (application_id 0x{:08x}, weir's is 0x{:08x}). Use "
        "sqlite3 to read it.",
        Printable(options.path), static_cast<uint32_t>(application_id),
        static_cast<uint32_t>(kApplicationId)));
  }
  // One transaction: all that is printed is of the same commit.
  if (const int begin = sqlite3_exec(db.get(), "BEGIN", nullptr, nullptr, nullptr); begin != SQLITE_OK) {
    return AnyError(db, begin);
  }
  return db;
}

// ---- Output

// Bytes on their way to a FILE. The first failure ends the output.
class Output {
 public:
  explicit Output(std::FILE* file) : file_(file) {}

  std::string& buffer() { return buffer_; }
  bool failed() const { return error_ != 0; }
  void DrainIfFull() {
    if (buffer_.size() > kOutputBytes) Drain();
  }
  void Drain() {
    errno = 0;
    if (!failed() && std::fwrite(buffer_.data(), 1, buffer_.size(), file_) != buffer_.size()) {
      error_ = errno == 0 ? EIO : errno;
    }
    buffer_.clear();
  }
  absl::Status Finish() {
    Drain();
    errno = 0;
    if (!failed() && std::fflush(file_) != 0) error_ = errno == 0 ? EIO : errno;
    if (!failed() || error_ == EPIPE) return absl::OkStatus();  // `weir query … | head` has seen enough
    return absl::UnknownError(
        fmt::format("the output cannot be written: {}", std::generic_category().message(error_)));
  }

 private:
  std::FILE* file_;
  std::string buffer_;
  int error_ = 0;
};

// ---- Any SQL

std::string_view ColumnText(sqlite3_stmt* statement, int column) {
  // Blob first: the other way round SQLite converts, and a text may hold NUL.
  const void* bytes = sqlite3_column_blob(statement, column);
  return {static_cast<const char*>(bytes),
          bytes == nullptr ? 0 : static_cast<size_t>(sqlite3_column_bytes(statement, column))};
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const char c : bytes) fmt::format_to(std::back_inserter(hex), "{:02x}", static_cast<unsigned char>(c));
  return hex;
}

// The shortest digits that read back as the same number, recognisable as a real.
std::string Real(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".einf") == std::string::npos) text += ".0";
  return text;
}

bool IsNumber(int type) { return type == SQLITE_INTEGER || type == SQLITE_FLOAT; }

// The cell as table and csv show it.
std::string CellText(sqlite3_stmt* statement, int column, std::string_view null) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
      return std::string(null);
    case SQLITE_INTEGER:
      return fmt::format("{}", sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
      return Real(sqlite3_column_double(statement, column));
    case SQLITE_BLOB:
      return fmt::format("x'{}'", Hex(ColumnText(statement, column)));
    default:
      return std::string(ColumnText(statement, column));
  }
}

std::vector<std::string> ColumnNames(sqlite3_stmt* statement) {
  std::vector<std::string> names;
  for (int i = 0; i < sqlite3_column_count(statement); ++i)
    names.emplace_back(sqlite3_column_name(statement, i));
  return names;
}

// Calls `row` for each row. Errors: as SqlError.
template <typename OnRow>
absl::Status ForEachRow(const Database& db, std::string_view sql, sqlite3_stmt* statement, Output& out,
                        OnRow row) {
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    row();
    out.DrainIfFull();
    if (out.failed()) return absl::OkStatus();  // Finish says why
  }
  return code == SQLITE_DONE ? absl::OkStatus() : SqlError(db, sql, code);
}

absl::Status PrintJsonl(const Database& db, std::string_view sql, sqlite3_stmt* statement, Output& out) {
  // Equal names would make a parser keep one of the values only.
  std::vector<std::string> keys;
  std::set<std::string> taken;
  for (const std::string& name : ColumnNames(statement)) {
    std::string unique = name;
    for (int n = 2; !taken.insert(unique).second; ++n) unique = fmt::format("{}_{}", name, n);
    AppendJsonString(unique, keys.emplace_back());
  }
  return ForEachRow(db, sql, statement, out, [&] {
    std::string& line = out.buffer();
    for (int i = 0; i < static_cast<int>(keys.size()); ++i) {
      line.append(i == 0 ? "{" : ",").append(keys[static_cast<size_t>(i)]).push_back(':');
      switch (sqlite3_column_type(statement, i)) {
        case SQLITE_TEXT:
          AppendJsonString(ColumnText(statement, i), line);
          break;
        case SQLITE_BLOB:
          AppendJsonString(Hex(ColumnText(statement, i)), line);
          break;
        case SQLITE_FLOAT:
          if (const double value = sqlite3_column_double(statement, i); std::isinf(value)) {
            line.append(value > 0 ? "9e999"
                                  : "-9e999");  // JSON has no infinity; SQLite's own JSON says it so
            break;
          }
          [[fallthrough]];
        default:
          line.append(CellText(statement, i, "null"));
      }
    }
    line.append("}\n");
  });
}

absl::Status PrintCsv(const Database& db, std::string_view sql, sqlite3_stmt* statement, bool terminal, Output& out) {
  // A file or a program gets the text as it is; a terminal gets nothing that could steer it.
  const auto append = [&](const std::string& text) { AppendCsvField(terminal ? Printable(text) : text, out.buffer()); };
  const std::vector<std::string> names = ColumnNames(statement);
  for (size_t i = 0; i < names.size(); ++i) {
    if (i != 0) out.buffer().push_back(',');
    append(names[i]);
  }
  out.buffer().push_back('\n');
  return ForEachRow(db, sql, statement, out, [&] {
    for (int i = 0; i < static_cast<int>(names.size()); ++i) {
      if (i != 0) out.buffer().push_back(',');
      const std::string cell = CellText(statement, i, "");
      // An empty text differs from NULL, as in sqlite3.
      if (cell.empty() && sqlite3_column_type(statement, i) == SQLITE_TEXT) out.buffer().append("\"\"");
      append(cell);
    }
    out.buffer().push_back('\n');
  });
}

absl::Status PrintTable(const Database& db, std::string_view sql, sqlite3_stmt* statement, bool terminal,
                        bool color, Output& out) {
  struct Column {
    size_t width;
    bool numeric = false, text = false;  // what was seen in it
  };
  const std::vector<std::string> names = ColumnNames(statement);
  std::vector<Column> columns;
  for (const std::string& name : names) columns.push_back({.width = DisplayWidth(Printable(name))});

  const auto print = [&](const std::vector<std::string>& cells, bool bold) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i != 0) line.append("  ");
      const bool right = columns[i].numeric && !columns[i].text;
      AppendCell(
          cells[i],
          {.columns = std::min(columns[i].width, kMaxCellColumns), .right = right, .isolate = terminal},
          line);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    AppendStyled(line, kBold, color && bold, out.buffer());
    out.buffer().push_back('\n');
  };

  std::vector<std::vector<std::string>> measured;
  bool header = false;
  const auto flush = [&] {
    if (!std::exchange(header, true)) print(names, true);
    for (const std::vector<std::string>& cells : measured) print(cells, false);
    measured.clear();
  };
  const absl::Status status = ForEachRow(db, sql, statement, out, [&] {
    std::vector<std::string>& cells = measured.emplace_back();
    for (int i = 0; i < static_cast<int>(names.size()); ++i) {
      cells.push_back(CellText(statement, i, "NULL"));
      if (header) continue;
      Column& column = columns[static_cast<size_t>(i)];
      const int type = sqlite3_column_type(statement, i);
      column.width = std::max(column.width, DisplayWidth(Printable(cells.back())));
      column.numeric |= IsNumber(type);
      column.text |= type == SQLITE_TEXT || type == SQLITE_BLOB;
    }
    if (header || measured.size() == kMeasuredRows) flush();
  });
  flush();
  return status;
}

absl::StatusOr<StatementHandle> Prepare(const Database& db, std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  if (sql.size() > 1'000'000) return absl::InvalidArgumentError("the SQL is longer than 1,000,000 bytes");
  const int code = sqlite3_prepare_v2(db.get(), sql.data(), static_cast<int>(sql.size()), &raw, &tail);
  StatementHandle statement(raw);
  if (code != SQLITE_OK) return SqlError(db, sql, code);
  if (statement == nullptr) return absl::InvalidArgumentError("the SQL holds no statement");

  // Behind it only white space, comments and semicolons may come: what prepares to nothing.
  const std::string_view rest = sql.substr(static_cast<size_t>(tail - sql.data()));
  for (const char* at = rest.data(); at < rest.data() + rest.size();) {
    const char* const before = at;
    const int second =
        sqlite3_prepare_v2(db.get(), at, static_cast<int>(rest.data() + rest.size() - at), &raw, &at);
    const StatementHandle extra(raw);
    if (second != SQLITE_OK || extra != nullptr) {
      return absl::InvalidArgumentError(fmt::format("one statement at a time, and another begins here:{}",
                                                    Pointed(sql, static_cast<size_t>(before - sql.data()))));
    }
    if (at == before) break;
  }
  if (!sqlite3_stmt_readonly(statement.get())) {
    return absl::InvalidArgumentError("a query is read-only, this statement is not");
  }
  return statement;
}

absl::Status RunSql(const Database& db, const std::string& sql, RowFormat format, bool terminal, bool color,
                    Output& out) {
  WEIR_ASSIGN_OR_RETURN(const StatementHandle statement, Prepare(db, sql));
  switch (format) {
    case RowFormat::kTable:
      return PrintTable(db, sql, statement.get(), terminal, color, out);
    case RowFormat::kJsonl:
      return PrintJsonl(db, sql, statement.get(), out);
    case RowFormat::kCsv:
      return PrintCsv(db, sql, statement.get(), terminal, out);
  }
  return absl::InternalError("unknown row format");
}

// ---- The newest windows

// Runs our own SQL with text parameters, calling `row` for each row.
template <typename OnRow>
absl::Status Read(const Database& db, const std::string& sql, const std::vector<std::string>& parameters,
                  OnRow row) {
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(db.get(), sql.c_str(), -1, &raw, nullptr);
  const StatementHandle statement(raw);
  if (code != SQLITE_OK) return AnyError(db, code);
  for (size_t i = 0; i < parameters.size(); ++i) {
    sqlite3_bind_text(raw, static_cast<int>(i) + 1, parameters[i].data(),
                      static_cast<int>(parameters[i].size()), SQLITE_STATIC);
  }
  while ((code = sqlite3_step(raw)) == SQLITE_ROW) row(raw);
  return code == SQLITE_DONE ? absl::OkStatus() : AnyError(db, code);
}

std::string Quoted(std::string_view identifier) {
  std::string quoted = "\"";
  for (const char c : identifier) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}

// The operators whose results the file holds: each has a table of four columns, and a view of the newest window. Users may
// have put tables and views of their own beside them.
absl::StatusOr<std::vector<OperatorColumns>> FindOperators(const Database& db) {
  std::vector<OperatorColumns> operators;
  std::vector<std::string> tables;
  WEIR_RETURN_IF_ERROR(
      Read(db,
           "SELECT t.name FROM sqlite_master t JOIN sqlite_master v ON v.name = t.name || '_latest' "
           "WHERE t.type = 'table' AND v.type = 'view' ORDER BY t.name",
           {}, [&](sqlite3_stmt* row) { tables.emplace_back(ColumnText(row, 0)); }));
  for (std::string& table : tables) {
    std::vector<std::string> columns;
    WEIR_RETURN_IF_ERROR(Read(db, "SELECT name FROM pragma_table_info(?) ORDER BY cid", {table},
                              [&](sqlite3_stmt* row) { columns.emplace_back(ColumnText(row, 0)); }));
    if (columns.size() != 4 || columns[0] != "window_start" || columns[1] != "window_end") continue;
    operators.push_back({.table = std::move(table), .key = columns[2], .value = columns[3]});
  }
  return operators;
}

// The window that the view <table>_latest shows, from the table itself: times as numbers, and the revision,
// so that it is printed just as the job printed it. False when no window has closed yet.
absl::StatusOr<bool> ReadNewest(const Database& db, const OperatorColumns& columns, ClosedWindow& window) {
  const std::string table = Quoted(columns.table);
  bool found = false;
  WEIR_RETURN_IF_ERROR(
      Read(db,
           fmt::format("SELECT window_start, window_end, {}, {} FROM {} WHERE window_end = (SELECT "
                       "max(window_end) FROM {})",
                       Quoted(columns.key), Quoted(columns.value), table, table),
           {}, [&](sqlite3_stmt* row) {
             found = true;
             window.start_ms = sqlite3_column_int64(row, 0);
             window.end_ms = sqlite3_column_int64(row, 1);
             const int64_t value = sqlite3_column_int64(row, 3);
             window.rows.Add(ColumnText(row, 2), value);
           }));
  if (!found) return false;
  window.keys = static_cast<int64_t>(window.rows.size());
  WEIR_RETURN_IF_ERROR(
      Read(db,
           fmt::format("SELECT revision, records, keys FROM weir_windows WHERE operator = ? AND "
                       "window_end = {}",
                       window.end_ms),
           {columns.table}, [&](sqlite3_stmt* row) {
             window.revision = sqlite3_column_int64(row, 0);
             window.records = sqlite3_column_int64(row, 1);
             window.keys = sqlite3_column_int64(row, 2);
           }));
  return true;
}

absl::Status PrintNewest(const Database& db, const RowWriterOptions& options, Output& out, std::FILE* err) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<OperatorColumns> operators, FindOperators(db));
  if (operators.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("results file {}: holds no operator's results", Printable(db.path)));
  }
  absl::StatusOr<RowWriter> writer = RowWriter::Make(operators, options);
  if (!writer.ok()) {
    return absl::InvalidArgumentError(fmt::format("{} Or give SQL: weir query DB 'select * from {}_latest'.",
                                                  std::string(writer.status().message()),
                                                  Printable(operators[0].table)));
  }
  writer->Begin(out.buffer());
  for (size_t i = 0; i < operators.size(); ++i) {
    ClosedWindow window = {.op = static_cast<uint32_t>(i),
                           .start_ms = 0,
                           .end_ms = 0,
                           .revision = 0,
                           .records = 0,
                           .keys = 0,
                           .rows = {}};
    WEIR_ASSIGN_OR_RETURN(const bool found, ReadNewest(db, operators[i], window));
    if (found) {
      writer->Write(window, out.buffer(), [&out](std::string&) { out.DrainIfFull(); });
    } else {
      PrintTo(err, fmt::format("{}: no window has closed yet\n", Printable(operators[i].table)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Query(const QueryOptions& options, std::FILE* out, std::FILE* err) {
  const bool terminal = options.terminal.value_or(::isatty(::fileno(out)) == 1);
  const char* const no_color = std::getenv("NO_COLOR");
  const bool color = options.color.value_or(terminal && (no_color == nullptr || *no_color == '\0'));
  const RowFormat format = options.format.value_or(terminal ? RowFormat::kTable : RowFormat::kJsonl);

  WEIR_ASSIGN_OR_RETURN(const Database db, Open(options));
  Output output(out);
  absl::Status status;
  if (options.sql.has_value()) {
    sqlite3_set_authorizer(db.get(), Authorize, db.refusal.get());
    status = RunSql(db, *options.sql, format, terminal, color, output);
  } else {
    status = PrintNewest(db, {.format = format, .show = options.show, .terminal = terminal, .color = color},
                         output, err);
  }
  const absl::Status finished = output.Finish();  // rows before an error are right, and are printed
  return status.ok() ? finished : status;
}

int RunQuery(const QueryOptions& options, std::FILE* out, std::FILE* err) {
  const absl::Status status = Query(options, out, err);
  if (status.ok()) return 0;
  PrintTo(err, fmt::format("weir query: {}\n", std::string(status.message())));
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 2;
    case absl::StatusCode::kFailedPrecondition:
      return 78;
    case absl::StatusCode::kCancelled:
      return 130;
    case absl::StatusCode::kInternal:
      return 70;
    default:
      return 74;
  }
}

}  // namespace weir
