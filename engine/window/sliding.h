// engine/window/sliding.h: the aggregate per key over a run of panes, kept while panes enter and leave.
//
// RunningTotal<A> needs an inverse: a pane is added when it enters and subtracted when it leaves.
// TwoStacks<A> does without: per key a `front` (what is left of older panes) and a `back` (newer panes); a pane's entry
// remembers what the front becomes when the pane leaves. When the front runs out, one walk over the panes from newest to
// oldest turns backs into fronts. At most three visits for each (key, pane) entry, however long the window is.
// Both: O(entries of the pane) per Enter and Leave (amortised), O(keys) per Emit; a key with no entry left is forgotten.
// Two-stacks aggregation: Tangwongsan, Hirzel, Schneider, "Low-Latency Sliding-Window Aggregation in Worst-Case Constant
// Time", DEBS 2017, section 3; here keyed, one pair of stacks shared by all keys.
//
// Not thread-safe. Panes are identified by KeyTable; the caller keeps them alive from Enter to Leave.
#ifndef WEIR_ENGINE_WINDOW_SLIDING_H_
#define WEIR_ENGINE_WINDOW_SLIDING_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string_view>
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
  }

  void Prefetch(uint32_t hash) const { index_.Prefetch(hash); }

  size_t bytes() const {
    return slots_.capacity() * sizeof(Slot) + index_.bytes() + arena_.bytes() +
           (order_.capacity() + fresh_.capacity() + dead_.capacity() + free_.capacity() + merged_.capacity()) * sizeof(uint32_t) +
           sorting_.capacity() * sizeof(SortItem);
  }
  size_t key_bytes() const { return live_bytes_; }

 private:
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

  std::vector<Slot> slots_;
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

  void Enter(const Table& pane) {
    ForEachEntry(pane, keys_, [this](const auto& e) {
      A::Combine(e.value, keys_[keys_.Acquire(e.key(), e.hash, A::kIdentity)].value);
    });
  }
  void Leave(const Table& pane) {
    ForEachEntry(pane, keys_, [this](const auto& e) {
      const uint32_t slot = keys_.Find(e.key(), e.hash);
      A::Invert(e.value, keys_[slot].value);
      keys_.Release(slot);
    });
  }
  // Values that came late into a pane that has entered. `is_new(entry)`: the pane did not hold the key before.
  template <class IsNew>
  void Amend(const Table& delta, IsNew&& is_new) {
    for (const auto& e : delta.entries()) {
      const uint32_t slot =
          is_new(e) ? keys_.Acquire(e.key(), e.hash, A::kIdentity) : keys_.Find(e.key(), e.hash);
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
  size_t bytes() const { return keys_.bytes(); }

 private:
  LiveKeys<typename A::Partial> keys_;
};

template <Aggregate A>
class TwoStacks {
 public:
  using Partial = typename A::Partial;
  using Table = KeyTable<Partial>;

  void Enter(const Table& pane) {
    std::vector<Item>& items = panes_.emplace_back();
    items.reserve(pane.size());
    ForEachEntry(pane, keys_, [this, &items](const auto& e) {
      const uint32_t slot = keys_.Acquire(e.key(), e.hash, Ends{A::kIdentity, A::kIdentity});
      A::Combine(e.value, keys_[slot].value.back);
      items.push_back({slot, e.value, A::kIdentity});
    });
  }

  // The oldest pane leaves; `pane` is it.
  void Leave(const Table&) {
    if (front_panes_ == 0) Flip();
    for (const Item& item : panes_.front()) {
      keys_[item.slot].value.front = item.next;
      keys_.Release(item.slot);
    }
    panes_.pop_front();
    --front_panes_;
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
  size_t bytes() const {
    size_t sum = keys_.bytes();
    for (const auto& items : panes_) sum += items.capacity() * sizeof(Item);
    return sum;
  }

 private:
  struct Ends {
    Partial front, back;
  };
  struct Item {
    uint32_t slot;
    Partial value;  // of the key in this pane
    Partial next;   // the key's front once this pane has left; known from the flip on
  };

  void Flip() {
    for (auto pane = panes_.rbegin(); pane != panes_.rend(); ++pane) {
      for (Item& item : *pane) {
        Ends& ends = keys_[item.slot].value;
        ends.back = A::kIdentity;
        item.next = ends.front;
        A::Combine(item.value, ends.front);
      }
    }
    front_panes_ = panes_.size();
  }

  LiveKeys<Ends> keys_;
  std::deque<std::vector<Item>> panes_;  // oldest first; the first front_panes_ are in the front stack
  size_t front_panes_ = 0;
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
