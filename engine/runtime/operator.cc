#include "engine/runtime/operator.h"

#include <algorithm>

#include "engine/status_macros.h"
#include "engine/window/key_table.h"

namespace weir {

void AppendKeyPart(std::string_view part, bool last, std::string& key) {
  if (!last) PutVarint(part.size(), key);
  key.append(part);
}

void SplitKey(std::string_view key, std::span<std::string_view> parts) {
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    uint64_t size = 0;
    WEIR_CHECK(TakeVarint(key, size) && size <= key.size());
    parts[i] = key.substr(0, size);
    key.remove_prefix(size);
  }
  parts.back() = key;
}

bool IsIdentifier(std::string_view name) {
  if (name.empty() || name.starts_with("weir_") || name.starts_with("sqlite_") || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

RowStep MakeSumBy(const std::vector<std::string>& keys, const std::string& value, const std::string& by,
                  const std::string& as) {
  const size_t column = static_cast<size_t>(std::find(keys.begin(), keys.end(), by) - keys.begin());
  WEIR_CHECK(column < keys.size());
  const size_t count = keys.size();
  return {"sum of " + value + " as " + as + " by " + by, {by}, as, [column, count](const RowTable& in) {
            KeyTable<Sum::Partial> sums;
            std::vector<std::string_view> parts(count);
            for (size_t i = 0; i < in.size(); ++i) {
              SplitKey(in.key(i), parts);
              Sum::Combine(in.value(i), sums.FindOrAdd(parts[column], HashKey(parts[column]), Sum::kIdentity).value);
            }
            std::vector<const KeyTable<Sum::Partial>::Entry*> order;
            order.reserve(sums.size());
            for (const auto& e : sums.entries()) order.push_back(&e);
            std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->key() < b->key(); });
            RowTable out;
            for (const auto* e : order)
              if (const int64_t total = Sum::Lower(e->value); total != 0) out.Add(e->key(), total);
            return out;
          }};
}

}  // namespace weir
