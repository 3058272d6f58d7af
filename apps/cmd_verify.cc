// apps/cmd_verify.cc: `weir verify DB`: reads the log again, counts in another way, and compares.
//
// What it shares with `weir run`: sources, projection, the partitions' watermarks, and the operators' map and chain. What it does
// not: panes, deltas, sliding, batches, workers, checkpoints. A window here is a std::map, and every value is put into each of its
// windows. Reads the database only; the log only as far as the database says that it has been read.
#include <fmt/format.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "apps/flag_set.h"
#include "apps/job_setup.h"
#include "apps/print.h"
#include "apps/verbs.h"
#include "engine/sink/text.h"
#include "engine/status_macros.h"
#include "engine/window/watermark.h"
#include "operators/registry.h"

extern char** environ;

namespace weir {
namespace {

struct CloseDb {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct Finalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};

absl::Status Differs(std::string what) { return absl::OutOfRangeError(std::move(what)); }

// A results file, read in one transaction.
class Database {
 public:
  static absl::StatusOr<Database> Open(const std::string& path) {
    struct stat info;
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
      return absl::UnknownError(fmt::format("results file {}: there is no such file. Give the file that --output named.", path));
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
    Database db(path, raw);
    if (code != SQLITE_OK) return db.Error();
    sqlite3_busy_timeout(raw, 5'000);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    if (sqlite3_exec(raw, "PRAGMA cell_size_check=1; PRAGMA query_only=1; BEGIN", nullptr, nullptr, nullptr) != SQLITE_OK) return db.Error();
    int64_t id = 0;
    WEIR_RETURN_IF_ERROR(db.Each("PRAGMA application_id", {}, [&](sqlite3_stmt* s) { id = sqlite3_column_int64(s, 0); }));
    if (id != int64_t{kResultsApplicationId})
      return absl::FailedPreconditionError(fmt::format("{} is another program's database (application id {:#x}), not a results file.", path, id));
    return db;
  }

  // Calls `row` for each row of the answer. Errors: kUnknown.
  template <class Fn>
  absl::Status Each(const std::string& sql, const std::vector<std::string>& texts, Fn row) const {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) return Error();
    const std::unique_ptr<sqlite3_stmt, Finalize> statement(raw);
    for (size_t i = 0; i < texts.size(); ++i)
      sqlite3_bind_text64(raw, static_cast<int>(i) + 1, texts[i].data(), texts[i].size(), SQLITE_STATIC, SQLITE_UTF8);
    int code;
    while ((code = sqlite3_step(raw)) == SQLITE_ROW) row(raw);
    return code == SQLITE_DONE ? absl::OkStatus() : Error();
  }
  const std::string& path() const { return path_; }

  static std::string Text(sqlite3_stmt* s, int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(s, column));
    return text == nullptr ? "" : std::string(text, static_cast<size_t>(sqlite3_column_bytes(s, column)));
  }

 private:
  Database(std::string path, sqlite3* db) : path_(std::move(path)), db_(db) {}
  absl::Status Error() const {
    return absl::UnknownError(fmt::format("{}: {}.", path_, db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_.get())));
  }
  std::string path_;
  std::unique_ptr<sqlite3, CloseDb> db_;
};

std::string Quoted(const std::string& identifier) {
  std::string out = "\"";
  for (const char c : identifier) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

// A partition as the database has it, and as it is counted here.
struct Partition {
  PartitionPosition stored;
  FateCounts expected, counted;
  int64_t expected_watermark = kNoWatermark;
  std::vector<std::pair<int64_t, int64_t>> gaps;  // of weir_gaps
  std::set<int64_t> idle_late, quarantined;       // what the clock decided, by offset
  std::unique_ptr<PartitionWatermark> tracker;
  int64_t after = INT64_MIN;                      // offset of the last record

  std::string name() const { return fmt::format("topic \"{}\" partition {}", stored.topic, stored.partition); }
  bool InGap(int64_t first, int64_t next) const {
    return std::any_of(gaps.begin(), gaps.end(), [&](const auto& g) { return g.first <= first && next <= g.second; });
  }
};

struct Window {
  __extension__ typedef __int128 Wide;
  int64_t records = 0;
  std::map<std::string, Wide, std::less<>> values;
};

class Verifier {
 public:
  Verifier(Database db, const ParsedFlags& parsed) : db_(std::move(db)), parsed_(parsed) {}

  absl::StatusOr<std::string> Run() {
    WEIR_RETURN_IF_ERROR(ReadProgress());
    WEIR_RETURN_IF_ERROR(ReadJob());
    WEIR_RETURN_IF_ERROR(ReadLog());
    WEIR_RETURN_IF_ERROR(CompareCounters());
    for (size_t op = 0; op < operators_.size(); ++op) WEIR_RETURN_IF_ERROR(CompareWindows(op));
    std::string text = fmt::format("{} agrees with its log: {} records, {} windows, {} rows", db_.path(), records_, compared_windows_, compared_rows_);
    if (outgrown_ > 0)
      text += fmt::format("; {} windows that an end of the input had closed, and that have grown since, were not compared", outgrown_);
    return text + "\n";
  }

 private:
  // ---- What the database says.

  Partition* Find(const std::string& topic, int64_t partition) {
    for (Partition& p : partitions_)
      if (p.stored.partition == partition && p.stored.topic == topic) return &p;
    return nullptr;
  }

  absl::Status ReadProgress() {
    absl::Status bad;
    const auto note = [&bad](absl::Status status) {
      if (bad.ok()) bad = std::move(status);
    };
    WEIR_RETURN_IF_ERROR(db_.Each(
        "SELECT topic, partition, next_offset, watermark, consumed, aggregated, filtered, skipped, late, invalid, quarantined, duplicates, gap, "
        "first_offset FROM weir_progress LEFT JOIN weir_partitions USING (topic, partition) ORDER BY topic, partition",
        {}, [&](sqlite3_stmt* s) {
          Partition& p = partitions_.emplace_back();
          p.stored.topic = Database::Text(s, 0);
          p.stored.partition = static_cast<int32_t>(sqlite3_column_int64(s, 1));
          p.stored.next_offset = sqlite3_column_int64(s, 2);
          if (sqlite3_column_type(s, 3) != SQLITE_NULL) p.expected_watermark = sqlite3_column_int64(s, 3);
          FateCounts& c = p.expected;
          int column = 4;
          for (int64_t* count : {&c.consumed, &c.aggregated, &c.filtered, &c.skipped, &c.late, &c.invalid, &c.quarantined, &c.duplicates, &c.gap})
            *count = sqlite3_column_int64(s, column++);
          p.stored.first_offset = sqlite3_column_int64(s, 13);
          if (c.consumed != c.aggregated + c.filtered + c.skipped + c.late + c.invalid + c.quarantined + c.duplicates)
            note(Differs(fmt::format("{}: the counters of {} do not add up: {} consumed, but the fates of {}.", db_.path(), p.name(), c.consumed,
                                     c.aggregated + c.filtered + c.skipped + c.late + c.invalid + c.quarantined + c.duplicates)));
          if (p.stored.next_offset - p.stored.first_offset != c.consumed + c.gap)
            note(Differs(fmt::format("{}: the offsets of {} do not add up: {} to {}, but {} consumed and {} gap.", db_.path(), p.name(),
                                     p.stored.first_offset, p.stored.next_offset, c.consumed, c.gap)));
        }));
    WEIR_RETURN_IF_ERROR(db_.Each("SELECT topic, partition, first_offset, next_offset, reason FROM weir_gaps", {}, [&](sqlite3_stmt* s) {
      Partition* const p = Find(Database::Text(s, 0), sqlite3_column_int64(s, 1));
      const int64_t first = sqlite3_column_int64(s, 2), next = sqlite3_column_int64(s, 3);
      if (p == nullptr || next < first)
        note(Differs(fmt::format("{}: weir_gaps has a row of topic \"{}\" that fits nothing in weir_progress.", db_.path(), Database::Text(s, 0))));
      else if (first == next)
        note(absl::DataLossError(fmt::format("{} cannot be verified: {}, read up to offset {}, {}. What was read before cannot be read again.",
                                             db_.path(), p->name(), first, Database::Text(s, 4))));
      else
        p->gaps.emplace_back(first, next);
    }));
    const auto offsets = [&](const char* sql, std::set<int64_t> Partition::*set) {
      return db_.Each(sql, {}, [&, set](sqlite3_stmt* s) {
        if (Partition* const p = Find(Database::Text(s, 0), sqlite3_column_int64(s, 1))) (p->*set).insert(sqlite3_column_int64(s, 2));
      });
    };
    WEIR_RETURN_IF_ERROR(offsets("SELECT topic, partition, \"offset\" FROM weir_late WHERE reason = 'idle'", &Partition::idle_late));
    // Dead letters of records that are valid are those that were quarantined.
    WEIR_RETURN_IF_ERROR(offsets("SELECT topic, partition, \"offset\" FROM weir_dead_letters", &Partition::quarantined));
    WEIR_RETURN_IF_ERROR(db_.Each("SELECT value FROM weir_meta WHERE name = 'closed'", {}, [&](sqlite3_stmt* s) { all_closed_ = Database::Text(s, 0) == "all"; }));
    WEIR_RETURN_IF_ERROR(db_.Each("SELECT CAST(value AS INTEGER) FROM weir_meta WHERE name = 'watermark'", {},
                                  [&](sqlite3_stmt* s) { watermark_ = sqlite3_column_int64(s, 0); }));
    return bad;
  }

  // The job's flags, from the words in which the database keeps them.
  absl::Status ReadJob() {
    std::vector<std::string> words = {"verify"};
    bool kafka = false;
    WEIR_RETURN_IF_ERROR(db_.Each("SELECT substr(name, 5), value FROM weir_meta WHERE name LIKE 'job.%' ORDER BY name", {}, [&](sqlite3_stmt* s) {
      const std::string name = Database::Text(s, 0), value = Database::Text(s, 1);
      if (name == "operators") {
        words.push_back(value);
      } else if (name == "--topic") {
        kafka = true;
      } else if (name == "--field") {
        for (size_t at = 0, end; at <= value.size(); at = end + 1) {
          end = std::min(value.find(',', at), value.size());
          words.insert(words.end(), {name, value.substr(at, end - at)});
        }
      } else if (name != "--input") {
        words.insert(words.end(), {name, value});
      }
    }));
    if (words.size() < 2) return absl::FailedPreconditionError(fmt::format("{} holds no job.", db_.path()));
    std::set<std::string> topics;
    for (const Partition& p : partitions_) topics.insert(p.stored.topic);
    for (const std::string& topic : topics) words.insert(words.end(), {kafka ? "--topic" : "--input", topic});
    // Nothing of the environment belongs to a job that is finished, but for what verify's own flags have taken from it.
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable)
      if (const std::string_view text(*variable); text.starts_with("WEIR_")) variables.emplace_back(text.substr(0, text.find('=')));
    for (const std::string& variable : variables) ::unsetenv(variable.c_str());
    if (kafka) {
      if (!parsed_.Given("brokers")) return absl::InvalidArgumentError(fmt::format("{} is of a job over Kafka. Say where the topics are with --brokers.", db_.path()));
      words.insert(words.end(), {"--to", "latest"});
      for (const char* name : {"brokers", "connect-timeout", "stall-timeout"})
        if (const auto value = parsed_.Get(name)) words.insert(words.end(), {fmt::format("--{}", name), value->text});
      for (const char* name : {"X", "F"})
        for (const FlagValue& value : parsed_.GetAll(name)) words.insert(words.end(), {fmt::format("-{}", name), value.text});
    } else if (parsed_.Given("brokers")) {
      return absl::InvalidArgumentError(fmt::format("{} is of a job over files. Leave --brokers out.", db_.path()));
    }
    if (topics.contains("-") && !kafka)
      return absl::FailedPreconditionError(fmt::format("{} cannot be verified: stdin cannot be read again.", db_.path()));
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    WEIR_ASSIGN_OR_RETURN(flags_, ParseRunFlags(static_cast<int>(argv.size()), argv.data(), Registry()));
    flags_.skip_lost = true;  // a loss is told from what the job had lost, too
    if (flags_.time == TimeKind::kProcessing)
      return absl::FailedPreconditionError(fmt::format(
          "{} cannot be verified: with --time processing a record's time was its batch's, and nothing tells it any more.", db_.path()));
    WEIR_ASSIGN_OR_RETURN(operators_, MakeOperators(flags_));
    WEIR_ASSIGN_OR_RETURN(options_, MakeJobOptions(flags_));
    WEIR_ASSIGN_OR_RETURN(plan_, PlanColumns(options_, operators_));
    for (Partition& p : partitions_) p.tracker = std::make_unique<PartitionWatermark>(options_.watermark_delay_ms, options_.max_jump_ms);
    windows_.resize(operators_.size());
    return absl::OkStatus();
  }

  // ---- The log, again.

  absl::Status ReadLog() {
    if (partitions_.empty()) return absl::OkStatus();
    std::vector<PartitionPosition> from, to;
    for (const Partition& p : partitions_) {
      to.push_back(p.stored);
      from.push_back(p.stored);
      from.back().next_offset = p.stored.first_offset;
    }
    WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Source> source, MakeSource(flags_, plan_, to));
    WEIR_RETURN_IF_ERROR(source->Open(flags_.kafka() ? from : std::vector<PartitionPosition>()));
    for (const PartitionState& state : source->partitions()) {
      const Partition* const p = Find(state.position.topic, state.position.partition);
      if (p != nullptr && state.end_offset >= 0 && state.end_offset < p->stored.next_offset)
        return Gone(*p, state.end_offset, p->stored.next_offset, fmt::format("it ends at offset {} now", state.end_offset));
    }
    WEIR_ASSIGN_OR_RETURN(const std::shared_ptr<const ProjectionPlan> projection, MakeProjectionPlan(plan_.projection));
    Projector projector(projection);
    Chunk chunk;
    ProjectedChunk projected;
    for (bool over = false; !over;) {
      chunk.Clear();
      WEIR_RETURN_IF_ERROR(source->Poll({.max_records = INT64_MAX, .max_bytes = size_t{1} << 20, .deadline = absl::Now() + absl::Seconds(1)}, chunk));
      auto names = std::make_shared<std::vector<PartitionName>>();
      over = true;
      for (const PartitionState& state : source->partitions()) {
        names->push_back({state.position.topic, state.position.partition});
        const Partition* const p = Find(state.position.topic, state.position.partition);
        over = over && (state.ended || p == nullptr || state.position.next_offset >= p->stored.next_offset);
      }
      for (const DataGap& gap : source->TakeGaps()) {
        const PartitionName& name = (*names)[gap.partition];
        const Partition* const p = Find(name.topic, name.partition);
        if (p != nullptr && (gap.first_offset == gap.next_offset || !p->InGap(gap.first_offset, gap.next_offset)))
          return Gone(*p, gap.first_offset, gap.next_offset, gap.reason);
      }
      projected.Clear();
      projected.partitions = names;
      projector.Project(chunk, {.quarantine_after_ms = kForever}, projected);
      Judge(projected);
      for (size_t op = 0; op < operators_.size(); ++op)
        operators_[op].map_only(projected, plan_.columns[op], [&](int64_t time, std::string_view key, int64_t value) { Put(op, time, key, value); });
    }
    for (const Partition& p : partitions_)
      if (!flags_.kafka() && p.counted.consumed < p.stored.next_offset) return Gone(p, p.counted.consumed, p.stored.next_offset, "the file is shorter now");
    return absl::OkStatus();
  }

  absl::Status Gone(const Partition& p, int64_t first, int64_t next, const std::string& why) const {
    return absl::DataLossError(fmt::format("{} cannot be verified: offsets {}..{} of {}, which the job had read, are not there any more: {}.", db_.path(),
                                           first, next - 1, p.name(), why));
  }

  // Fates in the order of docs/reference.md; rows that count go on to the operators.
  void Judge(ProjectedChunk& chunk) {
    const int64_t now = absl::ToUnixMillis(absl::Now());
    for (uint32_t row = 0; row < chunk.records.size(); ++row) {
      const ProjectedChunk::Record& record = chunk.records[row];
      const PartitionName& name = (*chunk.partitions)[record.partition];
      Partition* const p = Find(name.topic, name.partition);
      if (p == nullptr || record.offset >= p->stored.next_offset || record.offset <= p->after || p->InGap(record.offset, record.offset + 1)) continue;
      p->after = record.offset;
      FateCounts& c = p->counted;
      ++c.consumed;
      ++records_;
      if (record.kind == RecordKind::kInvalid) {
        ++c.invalid;
      } else if (record.kind == RecordKind::kNoTime) {
        ++c.skipped;
      } else if (p->quarantined.contains(record.offset) || record.time_ms > SaturatingAdd(now, options_.max_future_ms)) {
        ++c.quarantined;
      } else {
        const int64_t watermark = p->tracker->watermark();
        p->tracker->Observe(record.time_ms);
        const int64_t pane = options_.window.pane_ms();
        const int64_t pane_end = (FloorDiv(record.time_ms, pane) + 1) * pane;
        if (SaturatingAdd(pane_end, options_.allowed_lateness_ms) <= watermark || p->idle_late.contains(record.offset)) {
          ++c.late;
        } else if (record.filtered) {
          ++c.filtered;
        } else {
          ++c.aggregated;
          chunk.rows.push_back(row);
          chunk.panes.push_back(0);  // nobody asks
        }
      }
    }
  }

  void Put(size_t op, int64_t time, std::string_view key, int64_t value) {
    const int64_t length = options_.window.window_ms, slide = options_.window.slide_ms;
    for (int64_t start = FloorDiv(time, slide) * slide; start > time - length; start -= slide) {
      Window& window = windows_[op][start + length];
      ++window.records;
      const auto [at, fresh] = window.values.try_emplace(std::string(key), 0);
      switch (operators_[op].kind) {
        case AggregateKind::kCount: ++at->second; break;
        case AggregateKind::kSum: at->second += value; break;
        case AggregateKind::kMax: at->second = fresh ? value : std::max<Window::Wide>(at->second, value); break;
      }
    }
  }

  // ---- The comparison.

  absl::Status CompareCounters() const {
    for (const Partition& p : partitions_) {
      const FateCounts &e = p.expected, &c = p.counted;
      const std::pair<const char*, std::pair<int64_t, int64_t>> pairs[] = {
          {"consumed", {e.consumed, c.consumed}}, {"invalid", {e.invalid, c.invalid}},    {"skipped", {e.skipped, c.skipped}},
          {"quarantined", {e.quarantined, c.quarantined}}, {"late", {e.late, c.late}},    {"filtered", {e.filtered, c.filtered}},
          {"aggregated", {e.aggregated, c.aggregated}},
          {"gap", {e.gap, p.stored.next_offset - p.stored.first_offset - c.consumed}}};
      for (const auto& [name, values] : pairs)
        if (values.first != values.second) return Different(fmt::format("weir_progress, {}: {}", p.name(), name), values.first, values.second);
      if (p.expected_watermark != p.tracker->watermark())
        return Different(fmt::format("weir_progress, {}: watermark", p.name()), p.expected_watermark, p.tracker->watermark());
    }
    return absl::OkStatus();
  }

  absl::Status Different(const std::string& what, int64_t there, int64_t here) const {
    const auto text = [](int64_t v) { return v == kNoWatermark ? std::string("none") : fmt::format("{}", v); };
    return Differs(fmt::format("{} differs from its log. First difference: {} is {} there, {} by the log.", db_.path(), what, text(there), text(here)));
  }

  static std::string Lower(Window::Wide value) {
    return fmt::format("{}", static_cast<int64_t>(std::clamp<Window::Wide>(value, INT64_MIN, INT64_MAX)));
  }

  // Rows after chain and --top; `keys`: before --top.
  std::map<std::string, int64_t> RowsOf(size_t op, const Window& window, int64_t& keys) const {
    RowTable rows;
    for (const auto& [key, value] : window.values)
      if (value != 0) rows.Add(key, static_cast<int64_t>(std::clamp<Window::Wide>(value, INT64_MIN, INT64_MAX)));
    for (const RowStep& step : operators_[op].chain) rows = step.run(rows);
    std::vector<std::pair<int64_t, std::string>> all;
    for (size_t i = 0; i < rows.size(); ++i) all.emplace_back(rows.value(i), std::string(rows.key(i)));
    keys = static_cast<int64_t>(all.size());
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
    if (options_.top > 0 && all.size() > options_.top) all.resize(options_.top);
    std::map<std::string, int64_t> kept;
    for (auto& [value, key] : all) kept.emplace(std::move(key), value);
    return kept;
  }

  absl::Status CompareWindows(size_t op) {
    const OperatorColumns columns = OutputColumns(flags_, operators_)[op];
    const std::string& table = columns.table;
    const int64_t length = options_.window.window_ms;
    struct Ledger {
      int64_t start, records, keys;
    };
    std::map<int64_t, Ledger> ledger;
    WEIR_RETURN_IF_ERROR(db_.Each("SELECT window_start, window_end, records, keys FROM weir_windows WHERE operator = ?", {table}, [&](sqlite3_stmt* s) {
      ledger[sqlite3_column_int64(s, 1)] = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
    }));
    const auto name = [&](int64_t end) {
      const auto utc = [](int64_t ms) { return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(ms), absl::UTCTimeZone()); };
      return fmt::format("{} window [{} .. {}) (window_end {})", table, utc(end - length), utc(end), end);
    };
    std::map<int64_t, std::map<std::string, int64_t>> stored;
    std::string stray;
    WEIR_RETURN_IF_ERROR(db_.Each(fmt::format("SELECT window_end, {}, {}, window_start FROM {}", Quoted(columns.key), Quoted(columns.value), Quoted(table)), {},
                                  [&](sqlite3_stmt* s) {
                                    const int64_t end = sqlite3_column_int64(s, 0);
                                    const std::string key = Database::Text(s, 1);
                                    if (stray.empty() && (!ledger.contains(end) || sqlite3_column_int64(s, 3) != end - length))
                                      stray = fmt::format("{} has a row of \"{}\" there, but no such window", name(end), Printable(key));
                                    stored[end][key] = sqlite3_column_int64(s, 2);
                                  }));
    if (!stray.empty()) return Differs(fmt::format("{} differs from its log. First difference: {}.", db_.path(), stray));
    // By the log: what is closed must be there, and be the same.
    std::set<int64_t> ends;
    for (const auto& [end, window] : windows_[op]) ends.insert(end);
    for (const auto& [end, entry] : ledger) ends.insert(end);
    for (const int64_t end : ends) {
      const auto here = windows_[op].find(end);
      const auto there = ledger.find(end);
      const bool closed = all_closed_ || (watermark_ != kNoWatermark && end <= watermark_);
      if (here == windows_[op].end())
        return Differs(fmt::format("{} differs from its log. First difference: {} is there, but by the log it is empty.", db_.path(), name(end)));
      const Window& window = here->second;
      if (there == ledger.end()) {
        if (closed)
          return Differs(fmt::format("{} differs from its log. First difference: {} is missing there; by the log it has {} records.", db_.path(), name(end),
                                     window.records));
        continue;
      }
      if (!closed && there->second.records < window.records) {
        ++outgrown_;  // it comes again when it closes again
        continue;
      }
      if (there->second.records != window.records) return Different(name(end) + ": records in weir_windows", there->second.records, window.records);
      int64_t keys = 0;
      const std::map<std::string, int64_t> rows = RowsOf(op, window, keys);
      if (there->second.keys != keys) return Different(name(end) + ": keys in weir_windows", there->second.keys, keys);
      if (there->second.start != end - length) return Different(name(end) + ": window_start in weir_windows", there->second.start, end - length);
      const std::map<std::string, int64_t>& found = stored[end];
      std::set<std::string> both;
      for (const auto& [key, value] : rows) both.insert(key);
      for (const auto& [key, value] : found) both.insert(key);
      for (const std::string& key : both) {
        const auto a = found.find(key), b = rows.find(key);
        if (a != found.end() && b != rows.end() && a->second == b->second) continue;
        const auto text = [&](auto at, const auto& map) { return at == map.end() ? std::string("missing") : fmt::format("{}", at->second); };
        return Differs(fmt::format("{} differs from its log. First difference: {}, {} \"{}\": {} is {} there, {} by the log.", db_.path(), name(end),
                                   columns.key, Printable(key), columns.value, text(a, found), text(b, rows)));
      }
      ++compared_windows_;
      compared_rows_ += static_cast<int64_t>(rows.size());
    }
    return absl::OkStatus();
  }

  const Database db_;
  const ParsedFlags& parsed_;
  RunFlags flags_;
  std::vector<Operator> operators_;
  JobOptions options_;
  ColumnPlan plan_;
  std::vector<Partition> partitions_;
  bool all_closed_ = false;
  int64_t watermark_ = kNoWatermark;
  std::vector<std::map<int64_t, Window>> windows_;  // by operator, by end
  int64_t records_ = 0, compared_windows_ = 0, compared_rows_ = 0, outgrown_ = 0;
};

FlagTable VerifyFlags() {
  FlagTable table;
  table.verb = "verify";
  table.usage = "weir verify DB [flags]";
  table.about =
      "Reads the log of a job again, as far as the results file says that it was read, counts its windows in another way, and compares "
      "rows, ledger and counters with the file, which it only reads. Exit 4, with the first difference, if they differ; 3 if the log is "
      "not there any more.";
  table.max_positionals = 1;
  table.groups = {{"Kafka",
                   {{.names = "-b,--brokers", .value = "LIST", .help = "bootstrap servers, host:port, comma-separated", .default_text = ""},
                    {.names = "-X", .value = "KEY=VALUE", .help = "librdkafka property", .default_text = "", .repeatable = true},
                    {.names = "-F", .value = "FILE", .help = "file of librdkafka properties", .default_text = "", .repeatable = true},
                    {.names = "--connect-timeout", .value = "D", .help = "for reaching broker and topics", .default_text = "30s"},
                    {.names = "--stall-timeout", .value = "D", .help = "as for `weir run`", .default_text = "60s"}}},
                  {"Messages", {{.names = "-q", .value = "", .help = "says nothing if all agrees", .default_text = ""}}}};
  return table;
}

absl::Status Verify(const ParsedFlags& parsed) {
  if (parsed.positionals.empty()) return absl::InvalidArgumentError("no results file given. Usage: weir verify DB [flags]");
  WEIR_ASSIGN_OR_RETURN(Database db, Database::Open(parsed.positionals[0]));
  WEIR_ASSIGN_OR_RETURN(const std::string summary, Verifier(std::move(db), parsed).Run());
  if (!parsed.On("q")) PrintTo(stdout, summary);
  return std::fflush(stdout) == 0 ? absl::OkStatus() : absl::UnknownError("stdout cannot be written");
}

}  // namespace

int CmdVerify(int argc, char** argv) {
  const FlagTable table = VerifyFlags();
  const auto parsed = ParseFlags(table, argc, argv);
  if (!parsed.ok()) return Fail(parsed.status());
  if (parsed->help) {
    PrintTo(stdout, HelpText(table));
    return std::fflush(stdout) == 0 ? 0 : Fail(absl::UnknownError("stdout cannot be written"));
  }
  const absl::Status status = Verify(*parsed);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace weir
