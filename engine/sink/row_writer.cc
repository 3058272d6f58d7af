#include "engine/sink/row_writer.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "fmt/format.h"

#include "engine/sink/text.h"

namespace weir {
namespace {

constexpr size_t kMaxKeyColumns = 48;
constexpr std::string_view kFirstStrongIsolate = "\u2068", kPopDirectionalIsolate = "\u2069";

// "1 location", "312 locations"; and for value columns, which are named in the plural, "1 tweet", "1,234
// tweets".
std::string Counted(int64_t count, std::string_view noun) {
  std::string word = Printable(noun);
  if (count == 1 && word.size() > 1 && word.back() == 's') word.pop_back();
  if (count != 1 && !word.empty() && word.back() != 's') word += 's';
  return WithThousands(count) + " " + word;
}

std::string Interval(const ClosedWindow& window) {
  const std::string start = ReadableTime(window.start_ms), end = ReadableTime(window.end_ms);
  const size_t date = start.find(' ');
  const bool same_day = end.compare(0, date + 1, start, 0, date + 1) == 0;
  return fmt::format("[{} .. {}) UTC", start, same_day ? end.substr(date + 1) : end);
}

// "1,234 tweets, 312 locations".
std::string Totals(const OperatorColumns& columns, const ClosedWindow& window) {
  const RowTable& rows = window.rows;
  int64_t sum = 0;
  bool known = columns.value_adds_up;
  for (size_t i = 0; i < rows.size() && known; ++i) known = !__builtin_add_overflow(sum, rows.value(i), &sum);
  const bool all = static_cast<int64_t>(rows.size()) >= window.keys;
  const std::string keys = all ? Counted(static_cast<int64_t>(rows.size()), columns.key)
                               : fmt::format("top {} of {}", WithThousands(static_cast<int64_t>(rows.size())),
                                             Counted(window.keys, columns.key));
  if (!known) return keys;
  return fmt::format("{}{}{}", Counted(sum, columns.value), all ? ", " : " in the ", keys);
}

}  // namespace

absl::StatusOr<RowFormat> ParseRowFormat(std::string_view name) {
  if (name == "table") return RowFormat::kTable;
  if (name == "jsonl") return RowFormat::kJsonl;
  if (name == "csv") return RowFormat::kCsv;
  return absl::InvalidArgumentError(
      fmt::format("unknown row format \"{}\". Use table, jsonl or csv.", Printable(name)));
}

void AppendCell(std::string_view text, const CellStyle& style, std::string& out) {
  const std::string shown = Truncated(Printable(text), std::max<size_t>(style.columns, 1));
  const size_t width = DisplayWidth(shown);
  const size_t padding = style.columns > width ? style.columns - width : 0;
  const bool isolate = style.isolate && HasRightToLeft(shown);
  if (style.right) out.append(padding, ' ');
  if (isolate) out.append(kFirstStrongIsolate);
  out.append(shown);
  if (isolate) out.append(kPopDirectionalIsolate);
  if (!style.right) out.append(padding, ' ');
}

void AppendStyled(std::string_view text, std::string_view escape, bool color, std::string& out) {
  if (color) out.append(escape);
  out.append(text);
  if (color) out.append("\x1b[0m");
}

absl::StatusOr<RowWriter> RowWriter::Make(std::vector<OperatorColumns> operators,
                                          const RowWriterOptions& options) {
  if (options.format == RowFormat::kCsv && operators.size() > 1) {
    return absl::InvalidArgumentError(
        fmt::format("csv holds the rows of one operator, and there are {}, whose columns differ. Use jsonl, "
                    "or one operator.",
                    operators.size()));
  }
  return RowWriter(std::move(operators), options);
}

void RowWriter::Begin(std::string& out) {
  if (std::exchange(begun_, true)) return;
  if (options_.format != RowFormat::kCsv || operators_.empty()) return;
  out.append("window_start,window_end,");
  AppendText(operators_[0].key, out);
  out.push_back(',');
  AppendText(operators_[0].value, out);
  out.push_back('\n');
}

void RowWriter::Write(const ClosedWindow& window, std::string& out, Drain drain) {
  Begin(out);
  switch (options_.format) {
    case RowFormat::kTable:
      return WriteTable(window, out, drain);
    case RowFormat::kJsonl:
      return WriteJsonl(window, out, drain);
    case RowFormat::kCsv:
      return WriteCsv(window, out, drain);
  }
}

void RowWriter::WriteTable(const ClosedWindow& window, std::string& out, Drain drain) {
  const OperatorColumns& columns = operators_[window.op];
  if (std::exchange(separate_, true)) out.push_back('\n');
  AppendStyled(Printable(columns.table), kBold, options_.color, out);
  fmt::format_to(std::back_inserter(out), "  {}  {}", Interval(window), Totals(columns, window));
  if (window.revision > 0) {
    out.append("  ");
    AppendStyled(fmt::format("corrected, revision {}", window.revision), kYellow, options_.color, out);
  }
  out.push_back('\n');

  const RowTable& rows = window.rows;
  const std::vector<uint32_t> ranked = rows.Ranked(options_.show);
  size_t key_columns = 1, value_columns = 1;
  for (const uint32_t row : ranked) {
    key_columns = std::max(key_columns, DisplayWidth(Printable(rows.key(row))));
    value_columns = std::max(value_columns, WithThousands(rows.value(row)).size());
  }
  key_columns = std::min(key_columns, kMaxKeyColumns);
  for (const uint32_t row : ranked) {
    out.append("  ");
    AppendCell(rows.key(row), {.columns = key_columns, .isolate = options_.terminal}, out);
    out.append("  ");
    AppendCell(WithThousands(rows.value(row)), {.columns = value_columns, .right = true}, out);
    out.push_back('\n');
    if (out.size() > kDrainBytes) drain(out);
  }
  if (const size_t more = rows.size() - ranked.size(); more != 0) {
    out.append("  ");
    AppendStyled(fmt::format("… and {} more", WithThousands(static_cast<int64_t>(more))), kDim,
                 options_.color, out);
    out.push_back('\n');
  }
}

void RowWriter::WriteJsonl(const ClosedWindow& window, std::string& out, Drain drain) {
  const OperatorColumns& columns = operators_[window.op];
  // All but key and value is the same in each row of the window.
  std::string head = "{\"operator\":", middle = ",";
  AppendJsonString(columns.table, head);
  fmt::format_to(std::back_inserter(head), ",\"window_start\":\"{}\",\"window_end\":\"{}\",\"revision\":{},",
                 IsoTime(window.start_ms), IsoTime(window.end_ms), window.revision);
  AppendJsonString(columns.key, head);
  head.push_back(':');
  AppendJsonString(columns.value, middle);
  middle.push_back(':');

  for (const uint32_t row : window.rows.Ranked(0)) {
    out.append(head);
    AppendJsonString(window.rows.key(row), out);
    out.append(middle);
    out.append(fmt::format_int(window.rows.value(row)).c_str());
    out.append("}\n");
    if (out.size() > kDrainBytes) drain(out);
  }
}

// A file or a program gets the text as it is; a terminal gets nothing that could steer it.
void RowWriter::AppendText(std::string_view text, std::string& out) const {
  if (options_.terminal) AppendCsvField(Printable(text), out);
  else AppendCsvField(text, out);
}

void RowWriter::WriteCsv(const ClosedWindow& window, std::string& out, Drain drain) {
  const std::string head = fmt::format("{},{},", window.start_ms, window.end_ms);
  for (const uint32_t row : window.rows.Ranked(0)) {
    out.append(head);
    AppendText(window.rows.key(row), out);
    out.push_back(',');
    out.append(fmt::format_int(window.rows.value(row)).c_str());
    out.push_back('\n');
    if (out.size() > kDrainBytes) drain(out);
  }
}

}  // namespace weir
