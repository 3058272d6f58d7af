#include "engine/window/key_table.h"

namespace weir {

void Arena::NewBlock(size_t at_least) {
  // Small tables stay small; blocks double up to 64 KiB.
  const size_t size = std::max(at_least, std::clamp<size_t>(bytes_, 512, 64 * 1024));
  blocks_.emplace_back(new char[size]);
  next_ = blocks_.back().get();
  end_ = next_ + size;
  bytes_ += size;
}

void Arena::Clear() {
  if (blocks_.empty()) return;
  // The last block is the largest but for an oversized key: enough to keep.
  std::unique_ptr<char[]> last = std::move(blocks_.back());
  const size_t size = static_cast<size_t>(end_ - last.get());
  blocks_.clear();
  next_ = last.get();
  end_ = next_ + size;
  bytes_ = size;
  blocks_.push_back(std::move(last));
}

}  // namespace weir
