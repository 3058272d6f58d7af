// engine/record/columns.h: the fields of a chunk's records, as columns; what operators see.
#ifndef WEIR_ENGINE_RECORD_COLUMNS_H_
#define WEIR_ENGINE_RECORD_COLUMNS_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

enum class ColumnType {
  kText,      // a JSON string
  kTextList,  // the JSON strings that a path with [] reaches
  kInt,       // a JSON number without fraction or exponent that fits 64 bits
  kExists,    // the path leads to an object
};

// A column to fill: the first of `paths` that a record has, counts. A value of another type than expected is absent.
struct ColumnSpec {
  ColumnType type;
  std::vector<std::string> paths;
  friend bool operator==(const ColumnSpec&, const ColumnSpec&) = default;
};

// Bytes of unescaped strings. Addresses hold until Clear.
class TextArena {
 public:
  // Room for `bytes`, to be followed by Take of what was used.
  char* Room(size_t bytes) {
    if (bytes > static_cast<size_t>(end_ - next_)) NewBlock(bytes);
    return next_;
  }
  std::string_view Take(size_t bytes) {
    const std::string_view taken(next_, bytes);
    next_ += bytes;
    return taken;
  }
  void Clear() {
    block_ = 0;
    next_ = blocks_.empty() ? nullptr : blocks_[0].bytes.get();
    end_ = blocks_.empty() ? nullptr : next_ + blocks_[0].size;
  }

 private:
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size;
  };
  void NewBlock(size_t at_least);

  std::vector<Block> blocks_;
  size_t block_ = 0;
  char* next_ = nullptr;
  char* end_ = nullptr;
};

// One column: one entry a record, by type.
struct Column {
  explicit Column(ColumnType t) : type(t) {}
  ColumnType type;
  std::vector<std::string_view> texts;   // kText; data() == nullptr: absent. kTextList: the items of all records
  std::vector<uint32_t> ends;            // kTextList: where a record's items end
  std::vector<int64_t> ints;             // kInt, kExists (0 or 1)
  std::vector<uint8_t> present;          // kInt

  std::string_view text(uint32_t row) const { return texts[row]; }
  std::span<const std::string_view> list(uint32_t row) const {
    const uint32_t begin = row == 0 ? 0 : ends[row - 1];
    return {texts.data() + begin, ends[row] - begin};
  }
  std::optional<int64_t> integer(uint32_t row) const {
    return present[row] ? std::optional<int64_t>(ints[row]) : std::nullopt;
  }
  bool exists(uint32_t row) const { return ints[row] != 0; }

  void Clear() {
    texts.clear();
    ends.clear();
    ints.clear();
    present.clear();
  }
};

}  // namespace weir

#endif  // WEIR_ENGINE_RECORD_COLUMNS_H_
