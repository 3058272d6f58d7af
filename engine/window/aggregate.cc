#include "engine/window/aggregate.h"

namespace weir {

void PutVarint(uint64_t value, std::string& out) {
  char bytes[10];
  int n = 0;
  for (; value >= 0x80; value >>= 7) bytes[n++] = static_cast<char>(value | 0x80);
  bytes[n++] = static_cast<char>(value);
  out.append(bytes, n);
}

bool TakeVarint(std::string_view& in, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const uint8_t byte = in.front();
    in.remove_prefix(1);
    if (shift == 63 && byte > 1) return false;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

namespace {
bool TakeSigned(std::string_view& in, int64_t& value) {
  uint64_t raw;
  if (!TakeVarint(in, raw)) return false;
  value = UnZigZag(raw);
  return true;
}
}  // namespace

bool Count::Load(std::string_view& in, Partial& p) { return TakeSigned(in, p); }
bool Max::Load(std::string_view& in, Partial& p) { return TakeSigned(in, p); }

void Sum::Save(const Partial& p, std::string& out) {
  PutVarint(static_cast<uint64_t>(p), out);
  PutVarint(ZigZag(static_cast<int64_t>(p >> 64)), out);
}

bool Sum::Load(std::string_view& in, Partial& p) {
  uint64_t low;
  int64_t high;
  if (!TakeVarint(in, low) || !TakeSigned(in, high)) return false;
  p = static_cast<Partial>(high) * (static_cast<Partial>(1) << 64) + low;
  return true;
}

}  // namespace weir
