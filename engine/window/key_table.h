// engine/window/key_table.h: keyed partial aggregates: what a pane, and one worker's share of a batch, is made of.
//
// Entries lie densely in order of first sight; an open-addressing index of 32-bit entry numbers finds them. A key is
// copied once, when first seen, into an arena that goes with the table. 24 bytes an entry with an 8-byte partial, plus
// the key's own bytes; while the table grows also 6 to 12 of index, and up to as much again that waits for more entries.
// Seal gives both back.
// Not thread-safe. References to entries last until the next insertion, keys as long as the table.
#ifndef WEIR_ENGINE_WINDOW_KEY_TABLE_H_
#define WEIR_ENGINE_WINDOW_KEY_TABLE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace weir {

extern const uint64_t kHashSalt;

// Hash of a key: seeded per process, so that no input can be prepared to collide. Nothing stored or printed depends on it.
inline uint32_t HashKey(std::string_view key) {
  // absl's own string_view: for std's, Debian's build goes through std::hash, whose collisions no salt undoes.
  const uint64_t hash = absl::HashOf(kHashSalt, absl::string_view(key.data(), key.size()));
  return static_cast<uint32_t>(hash ^ (hash >> 32));
}

// Gives a vector's memory back. (`v = {}` keeps it: that assigns an empty list.)
template <class T>
void Free(std::vector<T>& vector) {
  std::vector<T>().swap(vector);
}

// Before an element is added: a large vector grows by a quarter instead of by its own size.
template <class T>
void GrowBySteps(std::vector<T>& vector) {
  constexpr size_t kLarge = 64 * 1024;
  if (vector.size() == vector.capacity() && vector.size() >= kLarge) vector.reserve(vector.size() + vector.size() / 4);
}

// memcmp(a, b, size) == 0, without the call for the short keys that most are.
inline bool SameBytes(const char* a, const char* b, size_t size) {
  uint64_t x, y;
  if (size > 16) return std::memcmp(a, b, size) == 0;
  if (size >= 8) {
    std::memcpy(&x, a, 8);
    std::memcpy(&y, b, 8);
    if (x != y) return false;
    std::memcpy(&x, a + size - 8, 8);
    std::memcpy(&y, b + size - 8, 8);
    return x == y;
  }
  if (size >= 4) {
    uint32_t u, v;
    std::memcpy(&u, a, 4);
    std::memcpy(&v, b, 4);
    if (u != v) return false;
    std::memcpy(&u, a + size - 4, 4);
    std::memcpy(&v, b + size - 4, 4);
    return u == v;
  }
  for (size_t i = 0; i < size; ++i)
    if (a[i] != b[i]) return false;
  return true;
}

// Bytes that are freed all at once.
class Arena {
 public:
  const char* Copy(std::string_view bytes) {
    if (bytes.size() > static_cast<size_t>(end_ - next_)) NewBlock(bytes.size());
    char* const to = next_;
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    next_ += bytes.size();
    return to;
  }
  size_t bytes() const { return bytes_; }
  void Clear();

 private:
  void NewBlock(size_t at_least);

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  char* end_ = nullptr;
  size_t bytes_ = 0;
};

// The index alone: numbers of entries by 32-bit hash, linear probing, load at most 0.7.
class HashIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // The number for which `is_it(number)` holds among those with this hash's probe run, or kNone.
  template <class IsIt>
  uint32_t Find(uint32_t hash, IsIt&& is_it) const {
    if (slots_.empty()) return kNone;
    for (uint32_t i = hash & mask_;; i = (i + 1) & mask_) {
      const uint32_t number = slots_[i];
      if (number == kNone || is_it(number)) return number;
    }
  }

  // Asks the cache for where Find will look first: for loops that know their next hashes.
  void Prefetch(uint32_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & mask_]);
  }
  // The number that Find will look at first, or kNone: what to ask the cache for next.
  uint32_t Peek(uint32_t hash) const { return slots_.empty() ? kNone : slots_[hash & mask_]; }

  // Adds a number that Find did not find; `hash_of(number)` is asked when the index grows.
  template <class HashOf>
  void Add(uint32_t hash, uint32_t number, HashOf&& hash_of) {
    if ((used_ + 1) * 10 > slots_.size() * 7) Grow(hash_of);
    Place(hash, number);
    ++used_;
  }

  // Removes a number; closes the hole by moving later ones of the run back (no tombstones).
  template <class HashOf>
  void Remove(uint32_t hash, uint32_t number, HashOf&& hash_of) {
    uint32_t hole = hash & mask_;
    while (slots_[hole] != number) hole = (hole + 1) & mask_;
    for (uint32_t i = (hole + 1) & mask_; slots_[i] != kNone; i = (i + 1) & mask_) {
      const uint32_t home = hash_of(slots_[i]) & mask_;
      if (((i - home) & mask_) >= ((i - hole) & mask_)) {
        slots_[hole] = slots_[i];
        hole = i;
      }
    }
    slots_[hole] = kNone;
    --used_;
  }

  void Clear() {
    // A table that was large once must not cost its size for each small batch after.
    if (slots_.size() > 1024 && used_ * 16 < slots_.size()) {
      Free(slots_);
      mask_ = 0;
    } else {
      std::fill(slots_.begin(), slots_.end(), kNone);
    }
    used_ = 0;
  }
  // Gives its memory back. A later Add finds an empty index.
  void Drop() {
    Free(slots_);
    mask_ = 0;
    used_ = 0;
  }
  size_t size() const { return used_; }
  size_t bytes() const { return slots_.capacity() * sizeof(uint32_t); }

 private:
  void Place(uint32_t hash, uint32_t number) {
    uint32_t i = hash & mask_;
    while (slots_[i] != kNone) i = (i + 1) & mask_;
    slots_[i] = number;
  }
  template <class HashOf>
  void Grow(HashOf&& hash_of) {
    std::vector<uint32_t> old = std::move(slots_);
    slots_.assign(old.empty() ? 16 : old.size() * 2, kNone);
    mask_ = static_cast<uint32_t>(slots_.size() - 1);
    for (uint32_t number : old)
      if (number != kNone) Place(hash_of(number), number);
  }

  std::vector<uint32_t> slots_;
  uint32_t mask_ = 0;
  size_t used_ = 0;
};

template <class Partial>
class KeyTable {
 public:
  struct Entry {
    const char* data;
    uint32_t size;
    uint32_t hash;
    Partial value;
    std::string_view key() const { return {data, size}; }
  };

  // The entry of the key; made with `initial` when there is none. `hash` is HashKey(key).
  Entry& FindOrAdd(std::string_view key, uint32_t hash, const Partial& initial, bool* added = nullptr) {
    const uint32_t at = index_.Find(hash, [&](uint32_t i) {
      const Entry& e = entries_[i];
      return e.hash == hash && e.size == key.size() && SameBytes(e.data, key.data(), key.size());
    });
    if (at == HashIndex::kNone && index_.size() != entries_.size()) {
      Reindex();
      return FindOrAdd(key, hash, initial, added);
    }
    if (added != nullptr) *added = at == HashIndex::kNone;
    if (at != HashIndex::kNone) return entries_[at];
    AddToIndex(hash, static_cast<uint32_t>(entries_.size()));
    GrowBySteps(entries_);
    return entries_.emplace_back(Entry{arena_.Copy(key), static_cast<uint32_t>(key.size()), hash, initial});
  }

  // No more keys are expected: gives back the index and what entries hold in reserve. A later FindOrAdd builds the index
  // anew, in O(entries).
  void Seal() {
    index_.Drop();
    if (entries_.capacity() > entries_.size() + entries_.size() / 8) entries_.shrink_to_fit();
  }

  // For loops that know their next hashes: first the index, some steps later the entry that it names.
  void Prefetch(uint32_t hash) const { index_.Prefetch(hash); }
  void PrefetchEntry(uint32_t hash) const {
    if (const uint32_t at = index_.Peek(hash); at != HashIndex::kNone) __builtin_prefetch(&entries_[at]);
  }

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  // Empties it and keeps the memory for the next batch.
  void Clear() {
    entries_.clear();
    index_.Clear();
    arena_.Clear();
  }
  size_t bytes() const { return entries_.capacity() * sizeof(Entry) + index_.bytes() + arena_.bytes(); }

 private:
  void AddToIndex(uint32_t hash, uint32_t at) {
    index_.Add(hash, at, [this](uint32_t i) { return entries_[i].hash; });
  }
  void Reindex() {
    index_.Drop();
    for (uint32_t i = 0; i < entries_.size(); ++i) AddToIndex(entries_[i].hash, i);
  }

  std::vector<Entry> entries_;
  HashIndex index_;
  Arena arena_;
};

// How many entries ahead of a loop Prefetch is called.
inline constexpr size_t kPrefetchAhead = 12;

// Calls visit(entry) for each entry of `from`, with `table` warned of its hash a while before.
template <class Partial, class Table, class Visit>
void ForEachEntry(const KeyTable<Partial>& from, const Table& table, Visit&& visit) {
  const auto& entries = from.entries();
  const size_t size = entries.size();
  for (size_t i = 0; i < size; ++i) {
    if (i + 2 * kPrefetchAhead < size) table.Prefetch(entries[i + 2 * kPrefetchAhead].hash);
    if (i + kPrefetchAhead < size) table.PrefetchEntry(entries[i + kPrefetchAhead].hash);
    visit(entries[i]);
  }
}

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_KEY_TABLE_H_
