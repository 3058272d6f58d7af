#include "engine/window/pane_blob.h"

#include <zlib.h>

namespace weir {
namespace {

constexpr char kVersion = 1;
constexpr size_t kChecksumBytes = 4;

uint32_t Checksum(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<z_size_t>(bytes.size())));
}

}  // namespace

std::string BeginPaneBlob(int64_t records, size_t entries) {
  std::string blob;
  blob.reserve(16 + entries * 24);
  blob.push_back(kVersion);
  PutVarint(static_cast<uint64_t>(records), blob);
  PutVarint(entries, blob);
  return blob;
}

void SealPaneBlob(std::string& blob) {
  const uint32_t sum = Checksum(blob);
  for (size_t i = 0; i < kChecksumBytes; ++i) blob.push_back(static_cast<char>(sum >> (8 * i)));
}

bool OpenPaneBlob(std::string_view& blob, int64_t& records, uint64_t& entries) {
  if (blob.size() < 1 + kChecksumBytes || blob.front() != kVersion) return false;
  uint32_t sum = 0;
  for (size_t i = 0; i < kChecksumBytes; ++i)
    sum |= static_cast<uint32_t>(static_cast<uint8_t>(blob[blob.size() - kChecksumBytes + i])) << (8 * i);
  blob.remove_suffix(kChecksumBytes);
  if (Checksum(blob) != sum) return false;
  blob.remove_prefix(1);
  uint64_t raw;
  if (!TakeVarint(blob, raw) || raw > INT64_MAX || !TakeVarint(blob, entries)) return false;
  records = static_cast<int64_t>(raw);
  return true;
}

}  // namespace weir
