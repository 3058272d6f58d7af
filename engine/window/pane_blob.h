// engine/window/pane_blob.h: keyed partials as bytes, for the results file.
//
// Format 1: u8 version, varint records, varint entries, entries x (varint key size, key, partial as the aggregate saves
// it), u32 little-endian CRC-32 (zlib's) of all before. Decoding is bounds-checked: any bytes may be given to it.
#ifndef WEIR_ENGINE_WINDOW_PANE_BLOB_H_
#define WEIR_ENGINE_WINDOW_PANE_BLOB_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "engine/window/aggregate.h"
#include "engine/window/key_table.h"

namespace weir {

struct PaneBlob {
  int64_t pane;
  bool replace;  // stands for all of the pane, not for what was added to it
  std::string bytes;
};

std::string BeginPaneBlob(int64_t records, size_t entries);
void SealPaneBlob(std::string& blob);
// Checks version and checksum; leaves the entries in `blob`. False: damaged, or of another version.
bool OpenPaneBlob(std::string_view& blob, int64_t& records, uint64_t& entries);

// Calls `out` with blobs that together are the table, each of about `blob_bytes` at most, or of one entry.
template <Aggregate A, class Out>
void EncodePane(const KeyTable<typename A::Partial>& table, int64_t records, size_t blob_bytes, Out&& out) {
  size_t left = table.size(), count = 0;
  std::string blob = BeginPaneBlob(records, left);
  size_t head = blob.size();
  for (const auto& e : table.entries()) {
    PutVarint(e.size, blob);
    blob.append(e.data, e.size);
    A::Save(e.value, blob);
    if (++count == left || blob.size() < blob_bytes) continue;
    // Its head promised all that was left.
    std::string part = BeginPaneBlob(records, count);
    part.append(blob, head);
    SealPaneBlob(part);
    out(std::move(part));
    left -= std::exchange(count, 0);
    records = 0;
    blob = BeginPaneBlob(records, left);
    head = blob.size();
  }
  SealPaneBlob(blob);
  out(std::move(blob));
}

template <Aggregate A>
std::string EncodePane(const KeyTable<typename A::Partial>& table, int64_t records) {
  std::string all;
  EncodePane<A>(table, records, SIZE_MAX, [&](std::string blob) { all = std::move(blob); });
  return all;
}

// Combines a blob into a table. False, with the table in any state: the bytes are not from EncodePane<A>.
template <Aggregate A>
bool DecodePane(std::string_view blob, KeyTable<typename A::Partial>& table, int64_t& records) {
  int64_t more;
  uint64_t entries, size;
  if (!OpenPaneBlob(blob, more, entries)) return false;
  for (uint64_t i = 0; i < entries; ++i) {
    typename A::Partial value;
    if (!TakeVarint(blob, size) || size > blob.size()) return false;
    const std::string_view key = blob.substr(0, size);
    blob.remove_prefix(size);
    if (!A::Load(blob, value)) return false;
    A::Combine(value, table.FindOrAdd(key, HashKey(key), A::kIdentity).value);
  }
  records += more;
  return blob.empty();
}

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_PANE_BLOB_H_
