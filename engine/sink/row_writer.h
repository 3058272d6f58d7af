// engine/sink/row_writer.h: closed windows as text: a table for people, jsonl and csv for programs.
//
// All formats give the rows of a window by value descending, then key bytes ascending.
#ifndef WEIR_ENGINE_SINK_ROW_WRITER_H_
#define WEIR_ENGINE_SINK_ROW_WRITER_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/sink/sink.h"

namespace weir {

// What the rows of one operator are called.
struct OperatorColumns {
  std::string table;          // "tweets_by_location", or what --name says
  std::string key;            // "location"
  std::string value;          // "tweets"
  bool value_adds_up = true;  // the values of different keys may be summed for the table's title line
};

enum class RowFormat { kTable, kJsonl, kCsv };

// "table", "jsonl", "csv". Errors: kInvalidArgument.
absl::StatusOr<RowFormat> ParseRowFormat(std::string_view name);

struct RowWriterOptions {
  RowFormat format = RowFormat::kJsonl;
  size_t show = 10;       // table: rows per window; 0: all
  bool terminal = false;  // table: isolate right-to-left keys, so that the numbers stay in their column
  bool color = false;     // table
};

class RowWriter {
 public:
  // Errors: kInvalidArgument for csv with several operators, whose columns differ.
  static absl::StatusOr<RowWriter> Make(std::vector<OperatorColumns> operators,
                                        const RowWriterOptions& options);

  // Appends what stands before the first row: the header of csv. Does so once.
  void Begin(std::string& out);

  // Appends one window. `drain` is called whenever `out` has grown beyond kDrainBytes, and may empty it: a
  // window of a million keys takes no second copy in memory.
  using Drain = absl::FunctionRef<void(std::string& out)>;
  static constexpr size_t kDrainBytes = 64 << 10;
  void Write(const ClosedWindow& window, std::string& out, Drain drain);
  void Write(const ClosedWindow& window, std::string& out) {
    Write(window, out, [](std::string&) {});
  }

 private:
  RowWriter(std::vector<OperatorColumns> operators, const RowWriterOptions& options)
      : operators_(std::move(operators)), options_(options) {}
  void WriteTable(const ClosedWindow& window, std::string& out, Drain drain);
  void WriteJsonl(const ClosedWindow& window, std::string& out, Drain drain);
  void WriteCsv(const ClosedWindow& window, std::string& out, Drain drain);
  void AppendText(std::string_view text, std::string& out) const;

  std::vector<OperatorColumns> operators_;
  RowWriterOptions options_;
  bool begun_ = false;     // csv: the header is out
  bool separate_ = false;  // table: a window is out, a blank line comes before the next
};

// Appends `text` (made Printable) cut and padded to `columns`; numbers go to the right. For tables on a
// terminal keys from right to left are isolated. Used by all tables, so that they agree.
struct CellStyle {
  size_t columns;
  bool right = false;
  bool isolate = false;  // wrap right-to-left text in FSI and PDI
};
void AppendCell(std::string_view text, const CellStyle& style, std::string& out);

// Text between terminal escapes, if `color`.
inline constexpr std::string_view kBold = "\x1b[1m", kDim = "\x1b[2m", kYellow = "\x1b[33m";
void AppendStyled(std::string_view text, std::string_view escape, bool color, std::string& out);

}  // namespace weir

#endif  // WEIR_ENGINE_SINK_ROW_WRITER_H_
