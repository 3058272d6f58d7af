// engine/window/sliding.h: the aggregate per key over a run of panes, kept while panes enter and leave.
//
// RunningTotal<A> needs an inverse: a pane is added when it enters and subtracted when it leaves.
// TwoStacks<A> does without: per key a `front` (what is left of older panes) and a `back` (newer panes); a pane's entry
// remembers what the front becomes when the pane leaves. When the front runs out, one walk over the panes from newest to
// oldest turns backs into fronts. At most three visits for each (key, pane) entry, however long the window is. Keys are
// dealt into shards whose fronts run out in different panes, so that no single Leave has to walk all of them.
// Both: O(entries of the pane) per Enter and Leave (amortised), O(keys) per ForEach; a key with no entry left is forgotten.
// Memory of a RunningTotal: 40 to 48 bytes a key with an 8-byte partial, plus the key, plus 4 bytes an entry of its panes.
// Two-stacks aggregation: Tangwongsan, Hirzel, Schneider, "Low-Latency Sliding-Window Aggregation in Worst-Case Constant
// Time", DEBS 2017, section 3; here keyed, one pair of stacks shared by all keys.
//
// Not thread-safe. Panes are identified by KeyTable; the caller keeps them alive from Enter to Leave.
#ifndef WEIR_ENGINE_WINDOW_SLIDING_H_
#define WEIR_ENGINE_WINDOW_SLIDING_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/window/aggregate.h"
#include "engine/window/key_table.h"

namespace weir {

// The live keys, each with a Value and a count of the panes that hold it; sorted by key bytes from emission to emission.
template <class Value>
class LiveKeys {
 public:
  struct Slot {
    const char* data;
    uint32_t size;
    uint32_t hash;
    uint32_t refs;  // panes that hold the key; 0: gone
    Value value;
    std::string_view key() const { return {data, size}; }
  };

  // The slot of the key, with one reference more.
  uint32_t Acquire(std::string_view key, uint32_t hash, const Value& initial) {
    const uint32_t at = index_.Find(hash, [&](uint32_t i) {
      const Slot& s = slots_[i];
      return s.hash == hash && s.size == key.size() && SameBytes(s.data, key.data(), key.size());
    });
    if (at != HashIndex::kNone) {
      ++slots_[at].refs;
      return at;
    }
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    slots_[slot] = Slot{arena_.Copy(key), static_cast<uint32_t>(key.size()), hash, 1, initial};
    live_bytes_ += key.size();
    index_.Add(hash, slot, [this](uint32_t i) { return slots_[i].hash; });
    fresh_.push_back(slot);
    return slot;
  }

  // The slot of a key that is known to be live.
  uint32_t Find(std::string_view key, uint32_t hash) const {
    return index_.Find(hash, [&](uint32_t i) {
      const Slot& s = slots_[i];
      return s.hash == hash && s.size == key.size() && SameBytes(s.data, key.data(), key.size());
    });
  }

  void Release(uint32_t slot) {
    Slot& s = slots_[slot];
    if (--s.refs != 0) return;
    index_.Remove(s.hash, slot, [this](uint32_t i) { return slots_[i].hash; });
    live_bytes_ -= s.size;
    dead_.push_back(slot);  // not reused before the order has forgotten it
  }

  Slot& operator[](uint32_t slot) { return slots_[slot]; }
  size_t live() const { return slots_.size() - free_.size() - dead_.size(); }

  // Calls visit(slot) for each live key, in ascending order of key bytes when `ordered`, else in any. Costs O(keys), and a
  // sort of the keys that are new since the last time only.
  template <class Visit>
  void ForEach(bool ordered, Visit&& visit) {
    if (!ordered) {
      fresh_.clear();
      Reclaim();
      for (const Slot& s : slots_)
        if (s.refs != 0) visit(s);
      return;
    }
    SortFresh();
    merged_.reserve(order_.size() + sorting_.size());
    // One pass merges the new keys into the order, drops the dead and visits the rest. Where a new key goes is found by
    // galloping: most steps are over old keys, which need no comparison.
    merged_.clear();
    size_t at = 0;
    const auto pass_to = [&](size_t end) {
      for (; at < end; ++at) {
        // Key order is random order in memory: ask for the slot, and then for its key, a while before.
        if (at + 2 * kPrefetchAhead < order_.size()) __builtin_prefetch(&slots_[order_[at + 2 * kPrefetchAhead]]);
        if (at + kPrefetchAhead < order_.size()) __builtin_prefetch(slots_[order_[at + kPrefetchAhead]].data);
        if (slots_[order_[at]].refs == 0) continue;
        merged_.push_back(order_[at]);
        visit(slots_[order_[at]]);
      }
    };
    for (const SortItem& item : sorting_) {
      const std::string_view key = slots_[item.slot].key();
      size_t step = 1, low = at, high = at;
      while (high < order_.size() && slots_[order_[high]].key() < key) {
        low = high + 1;
        high += step;
        step *= 2;
      }
      const auto first = order_.begin();
      pass_to(static_cast<size_t>(std::lower_bound(first + static_cast<ptrdiff_t>(low),
                                                   first + static_cast<ptrdiff_t>(std::min(high, order_.size())), key,
                                                   [this](uint32_t i, std::string_view k) { return slots_[i].key() < k; }) -
                                  first));
      merged_.push_back(item.slot);
      visit(slots_[item.slot]);
    }
    pass_to(order_.size());
    order_.swap(merged_);
    Reclaim();
    // Between two closings millions of keys need no room for their next order. (Smaller ones keep it: it is cheaper.)
    if (merged_.capacity() > kKeptScratch) Free(merged_);
    if (fresh_.capacity() > kKeptScratch) Free(fresh_);
    if (sorting_.capacity() > kKeptScratch) Free(sorting_);
    if (dead_.capacity() > kKeptScratch) Free(dead_);
  }

  // For loops that know their next hashes: first the index, some steps later the slot that it names.
  void Prefetch(uint32_t hash) const { index_.Prefetch(hash); }
  void PrefetchEntry(uint32_t hash) const {
    if (const uint32_t at = index_.Peek(hash); at != HashIndex::kNone) PrefetchSlot(at);
  }
  void PrefetchSlot(uint32_t slot) const { __builtin_prefetch(&slots_[slot], 1); }

  size_t bytes() const {
    return slots_.size() * sizeof(Slot) + index_.bytes() + arena_.bytes() +
           (order_.capacity() + fresh_.capacity() + dead_.capacity() + free_.capacity() + merged_.capacity()) * sizeof(uint32_t) +
           sorting_.capacity() * sizeof(SortItem);
  }
  size_t key_bytes() const { return live_bytes_; }

 private:
  static constexpr size_t kKeptScratch = 256 * 1024;  // entries

  // A key to be sorted: eight bytes of it decide most comparisons without touching the key.
  struct SortItem {
    uint64_t bytes;  // big-endian, from where the keys begin to differ
    uint32_t slot;
  };

  // The live ones of fresh_, sorted, into sorting_.
  void SortFresh() {
    sorting_.clear();
    for (uint32_t i : fresh_)
      if (slots_[i].refs != 0) sorting_.push_back({0, i});
    fresh_.clear();
    if (sorting_.size() < 2) return;
    const std::string_view first = slots_[sorting_[0].slot].key();
    size_t common = first.size();
    for (const SortItem& item : sorting_) {
      const std::string_view key = slots_[item.slot].key();
      common = std::min(common, key.size());
      while (common > 0 && std::memcmp(first.data(), key.data(), common) != 0) --common;
    }
    for (SortItem& item : sorting_) {
      const std::string_view key = slots_[item.slot].key();
      unsigned char bytes[8] = {};
      std::memcpy(bytes, key.data() + common, std::min<size_t>(8, key.size() - common));
      for (unsigned char byte : bytes) item.bytes = item.bytes << 8 | byte;
    }
    std::sort(sorting_.begin(), sorting_.end(), [this](const SortItem& a, const SortItem& b) {
      return a.bytes != b.bytes ? a.bytes < b.bytes : slots_[a.slot].key() < slots_[b.slot].key();
    });
  }

  // Once order_ and fresh_ have forgotten the dead, their slots may be used again; and when dead keys hold more than half
  // of the arena, the live ones move to a new one.
  void Reclaim() {
    free_.insert(free_.end(), dead_.begin(), dead_.end());
    dead_.clear();
    if (arena_.bytes() < 64 * 1024 || arena_.bytes() < 2 * live_bytes_ + 64 * 1024) return;
    Arena compact;
    for (Slot& s : slots_)
      if (s.refs != 0) s.data = compact.Copy(s.key());
    arena_ = std::move(compact);
  }

  std::deque<Slot> slots_;  // in blocks: no room in reserve, and no moving of millions of slots when they become more
  HashIndex index_;
  Arena arena_;
  std::vector<uint32_t> order_, fresh_, dead_, free_, merged_;
  std::vector<SortItem> sorting_;
  size_t live_bytes_ = 0;
};

// ForEach with one and the same `ordered` all its life: an owner decides once.
template <InvertibleAggregate A>
class RunningTotal {
 public:
  using Table = KeyTable<typename A::Partial>;

  // `window_panes`: panes of a full window.
  explicit RunningTotal(int64_t window_panes = 1) { (void)window_panes; }

  void Enter(const Table& pane) {
    std::vector<uint32_t>& slots = slots_[&pane];
    slots.reserve(pane.size());
    ForEachEntry(pane, keys_, [this, &slots](const auto& e) {
      const uint32_t slot = keys_.Acquire(e.key(), e.hash, A::kIdentity);
      A::Combine(e.value, keys_[slot].value);
      slots.push_back(slot);
    });
  }
  // A pane that has entered leaves.
  void Leave(const Table& pane) {
    const auto entered = slots_.find(&pane);
    const std::vector<uint32_t>& slots = entered->second;
    for (size_t i = 0; i < slots.size(); ++i) {
      if (i + kPrefetchAhead < slots.size()) keys_.PrefetchSlot(slots[i + kPrefetchAhead]);
      A::Invert(pane.entries()[i].value, keys_[slots[i]].value);
      keys_.Release(slots[i]);
    }
    slots_.erase(entered);
  }
  // Values of `delta` came late into `pane`, which has entered (or comes into being among those that have) and holds them by
  // now. `is_new(entry)`: it did not hold the key before.
  template <class IsNew>
  void Amend(const Table& pane, const Table& delta, IsNew&& is_new) {
    std::vector<uint32_t>& slots = slots_[&pane];
    for (const auto& e : delta.entries()) {
      uint32_t slot;
      if (is_new(e)) {
        slot = keys_.Acquire(e.key(), e.hash, A::kIdentity);
        slots.push_back(slot);  // as the pane's table: new entries come last, in this order
      } else {
        slot = keys_.Find(e.key(), e.hash);
      }
      A::Combine(e.value, keys_[slot].value);
    }
  }
  // Calls visit(key, partial).
  template <class Visit>
  void ForEach(bool ordered, Visit&& visit) {
    keys_.ForEach(ordered, [&](const auto& slot) { visit(slot.key(), slot.value); });
  }
  size_t keys() const { return keys_.live(); }
  size_t key_bytes() const { return keys_.key_bytes(); }
  // Of the total alone, and with what it keeps for each pane that has entered.
  size_t total_bytes() const { return keys_.bytes(); }
  size_t bytes() const {
    size_t sum = keys_.bytes();
    for (const auto& [pane, slots] : slots_) sum += slots.capacity() * sizeof(uint32_t);
    return sum;
  }

 private:
  LiveKeys<typename A::Partial> keys_;
  std::unordered_map<const Table*, std::vector<uint32_t>> slots_;  // of each pane that has entered, in the order of its entries
};

template <Aggregate A>
class TwoStacks {
 public:
  using Partial = typename A::Partial;
  using Table = KeyTable<Partial>;

  // `window_panes`: panes of a full window. No more shards than that: each fills its front once while a window passes.
  explicit TwoStacks(int64_t window_panes = 1)
      : front_panes_(std::bit_floor(static_cast<size_t>(std::clamp<int64_t>(window_panes, 1, kMaxShards)))) {}

  void Enter(const Table& pane) {
    const size_t shards = front_panes_.size();
    std::vector<uint32_t> at(shards, 0);  // where the next item of a shard goes
    for (const auto& e : pane.entries()) ++at[ShardOf(e.hash)];
    Pane& entered = panes_.emplace_back();
    entered.ends.resize(shards);
    uint32_t end = 0;
    for (size_t s = 0; s < shards; ++s) {
      const uint32_t begin = end;
      entered.ends[s] = end += at[s];
      at[s] = begin;
    }
    entered.items.resize(pane.size());
    ForEachEntry(pane, keys_, [&](const auto& e) {
      const uint32_t slot = keys_.Acquire(e.key(), e.hash, Ends{A::kIdentity, A::kIdentity});
      A::Combine(e.value, keys_[slot].value.back);
      entered.items[at[ShardOf(e.hash)]++] = {slot, e.value, A::kIdentity};
    });
    // While the first window fills, one shard after the other gets a front of so many panes: that is what sets their turns apart.
    if (filled_ < shards) {
      if (front_panes_[filled_] == 0) Flip(filled_);
      ++filled_;
    }
  }

  // The oldest pane leaves; `pane` is it.
  void Leave(const Table&) {
    for (size_t shard = 0; shard < front_panes_.size(); ++shard) {
      if (front_panes_[shard] == 0) Flip(shard);
      --front_panes_[shard];
    }
    const std::vector<Item>& items = panes_.front().items;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i + kPrefetchAhead < items.size()) keys_.PrefetchSlot(items[i + kPrefetchAhead].slot);
      keys_[items[i].slot].value.front = items[i].next;
      keys_.Release(items[i].slot);
    }
    panes_.pop_front();
    if (panes_.empty()) filled_ = 0;
  }

  template <class Visit>
  void ForEach(bool ordered, Visit&& visit) {
    keys_.ForEach(ordered, [&](const auto& slot) {
      Partial value = slot.value.front;
      A::Combine(slot.value.back, value);
      visit(slot.key(), value);
    });
  }
  size_t keys() const { return keys_.live(); }
  size_t key_bytes() const { return keys_.key_bytes(); }
  size_t total_bytes() const { return keys_.bytes(); }
  size_t bytes() const {
    size_t sum = keys_.bytes();
    for (const Pane& pane : panes_) sum += pane.items.capacity() * sizeof(Item) + pane.ends.capacity() * sizeof(uint32_t);
    return sum;
  }

 private:
  static constexpr int64_t kMaxShards = 128;

  struct Ends {
    Partial front, back;
  };
  struct Item {
    uint32_t slot;
    Partial value;  // of the key in this pane
    Partial next;   // the key's front once this pane has left; known from the flip on
  };
  struct Pane {
    std::vector<Item> items;     // by shard
    std::vector<uint32_t> ends;  // of each shard's items
  };

  // From the middle of the hash: tables are indexed by its low bits.
  size_t ShardOf(uint32_t hash) const { return hash >> 20 & (front_panes_.size() - 1); }

  // REQUIRES: the shard's front stack is empty.
  void Flip(size_t shard) {
    for (auto pane = panes_.rbegin(); pane != panes_.rend(); ++pane) {
      const uint32_t end = pane->ends[shard];
      for (uint32_t i = shard == 0 ? 0 : pane->ends[shard - 1]; i < end; ++i) {
        if (i + kPrefetchAhead < end) keys_.PrefetchSlot(pane->items[i + kPrefetchAhead].slot);
        Item& item = pane->items[i];
        Ends& ends = keys_[item.slot].value;
        ends.back = A::kIdentity;
        item.next = ends.front;
        A::Combine(item.value, ends.front);
      }
    }
    front_panes_[shard] = panes_.size();
  }

  LiveKeys<Ends> keys_;
  std::deque<Pane> panes_;           // oldest first
  std::vector<size_t> front_panes_;  // by shard: so many of the oldest panes are in its front stack
  size_t filled_ = 0;                // shards that got their first front
};

// What slides an aggregate.
template <Aggregate A>
struct SlidingOf {
  using type = TwoStacks<A>;
};
template <InvertibleAggregate A>
struct SlidingOf<A> {
  using type = RunningTotal<A>;
};

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_SLIDING_H_
