// engine/window/row_table.h: the rows of one closed window.
#ifndef WEIR_ENGINE_WINDOW_ROW_TABLE_H_
#define WEIR_ENGINE_WINDOW_ROW_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

// The rows of one closed window: columns of one table, in one allocation for the key bytes.
// Order of rows: ascending key bytes (what a B-tree takes fastest). Sinks that print use Ranked().
class RowTable {
 public:
  void Add(std::string_view key, int64_t value) {
    keys_.append(key);
    rows_.push_back({static_cast<uint32_t>(key.size()), keys_.size(), value});
  }
  size_t size() const { return rows_.size(); }
  bool empty() const { return rows_.empty(); }
  std::string_view key(size_t i) const { return {keys_.data() + rows_[i].end - rows_[i].size, rows_[i].size}; }
  int64_t value(size_t i) const { return rows_[i].value; }
  void Reserve(size_t rows, size_t key_bytes) {
    rows_.reserve(rows);
    keys_.reserve(key_bytes);
  }
  size_t bytes() const { return keys_.capacity() + rows_.capacity() * sizeof(Row); }

  // Row numbers by value descending, then key bytes ascending; at most `limit` of them (0: all).
  // Cost: O(n log n), O(n + limit log limit) with a limit.
  std::vector<uint32_t> Ranked(size_t limit) const;
  // Keeps the `n` first rows of Ranked(), in key order.
  void KeepTop(size_t n);

 private:
  struct Row {
    uint32_t size;
    size_t end;  // of the key in keys_
    int64_t value;
  };
  std::string keys_;
  std::vector<Row> rows_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_ROW_TABLE_H_
