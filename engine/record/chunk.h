// engine/record/chunk.h: raw records as a source hands them over.
//
// A chunk is a piece of a micro-batch that fits in the cache: payload bytes in one buffer that is reused from chunk
// to chunk, and a table of the records in it. It lives until its records are projected.
#ifndef WEIR_ENGINE_RECORD_CHUNK_H_
#define WEIR_ENGINE_RECORD_CHUNK_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace weir {

// Index into Source::partitions(): stable for the life of the process, not across runs.
using PartitionIndex = uint32_t;

inline constexpr int64_t kNoTimestamp = INT64_MIN;
// What a dead letter keeps of a payload.
inline constexpr size_t kDeadLetterBytes = 4096;

struct RawRecord {
  size_t begin;                            // payload position in the chunk's buffer
  uint32_t size;                           // payload bytes
  PartitionIndex partition;
  int64_t offset;                          // Kafka offset, or the ordinal of the record in its file
  int64_t timestamp_ms = kNoTimestamp;     // broker timestamp, UTC
  // Kafka message key and headers, kept only when Source::Options::keep_metadata is set; positions in the same buffer.
  // Headers are encoded as repeated {uint32 name size, name, uint32 value size, value}.
  size_t key_begin = 0;
  uint32_t key_size = 0;
  bool has_key = false;
  size_t headers_begin = 0;
  uint32_t headers_size = 0;
};

// Not thread-safe: owned by the thread that fills or projects it.
class Chunk {
 public:
  // Readable bytes that always follow the last payload (what simdjson may read past the end of a document).
  static constexpr size_t kPadding = 64;
  // Payload bytes after which a source should hand the chunk over: stays in a second-level cache.
  static constexpr size_t kTargetBytes = 192 * 1024;

  void Clear() {
    size_ = 0;
    records.clear();
  }

  // Returns room for `bytes` more bytes at the end; call Advance with what was written. Invalidates data().
  char* Reserve(size_t bytes) {
    if (capacity_ - size_ < kPadding || bytes > capacity_ - size_ - kPadding) Grow(size_ + bytes);
    return buffer_.get() + size_;
  }
  void Advance(size_t bytes) { size_ += bytes; }

  // Copies `bytes` to the end; returns their position.
  size_t Append(std::string_view bytes) {
    const size_t at = size_;
    char* const to = Reserve(bytes.size());
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    size_ += bytes.size();
    return at;
  }

  std::string_view payload(const RawRecord& r) const { return {buffer_.get() + r.begin, r.size}; }
  std::string_view key(const RawRecord& r) const { return {buffer_.get() + r.key_begin, r.key_size}; }
  std::string_view headers(const RawRecord& r) const { return {buffer_.get() + r.headers_begin, r.headers_size}; }
  const char* data() const { return buffer_.get(); }
  char* mutable_data() { return buffer_.get(); }
  size_t size() const { return size_; }  // bytes used
  size_t capacity() const { return capacity_; }

  std::vector<RawRecord> records;  // of one partition: ascending offsets

 private:
  void Grow(size_t needed) {
    size_t capacity = capacity_ < 4096 ? 4096 : capacity_;
    while (capacity < needed + kPadding) capacity *= 2;
    std::unique_ptr<char[]> bigger(new char[capacity]());
    if (size_ != 0) std::memcpy(bigger.get(), buffer_.get(), size_);
    buffer_ = std::move(bigger);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> buffer_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace weir

#endif  // WEIR_ENGINE_RECORD_CHUNK_H_
