#include "engine/window/row_table.h"

#include <algorithm>
#include <numeric>

namespace weir {

std::vector<uint32_t> RowTable::Ranked(size_t limit) const {
  std::vector<uint32_t> order(size());
  std::iota(order.begin(), order.end(), 0);

  // Rows normally come in key order. Then the row number decides between equal values, which are most of
  // them, and sorting never touches a key.
  bool in_key_order = true;
  for (size_t i = 1; i < size() && in_key_order; ++i) in_key_order = key(i - 1) <= key(i);
  const auto before = [this, in_key_order](uint32_t a, uint32_t b) {
    if (rows_[a].value != rows_[b].value) return rows_[a].value > rows_[b].value;
    if (!in_key_order) {
      if (const int c = key(a).compare(key(b)); c != 0) return c < 0;
    }
    return a < b;
  };

  if (limit != 0 && limit < order.size()) {
    std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(limit), order.end(), before);
    order.resize(limit);
  }
  std::sort(order.begin(), order.end(), before);
  return order;
}

void RowTable::KeepTop(size_t n) {
  if (n == 0 || n >= size()) return;
  std::vector<uint32_t> kept = Ranked(n);
  std::sort(kept.begin(), kept.end());
  size_t key_bytes = 0;
  for (const uint32_t row : kept) key_bytes += rows_[row].size;

  RowTable top;  // of its own: what was cut off gives its memory back
  top.Reserve(kept.size(), key_bytes);
  for (const uint32_t row : kept) top.Add(key(row), value(row));
  *this = std::move(top);
}

}  // namespace weir
