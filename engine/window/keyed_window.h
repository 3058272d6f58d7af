// engine/window/keyed_window.h: the panes of one operator, and the windows that close over them.
//
// Workers fold keyed values into PaneDeltas of their own; Merge brings them into the panes; Close emits every window whose
// end the watermark has reached, oldest first, and again, one revision higher, the closed ones that a late value changed;
// Release forgets panes that no window can need any more. The rows of a window do not depend on how values were split into
// deltas or in which order they came. Sparse time costs nothing: windows without a pane are never visited.
// Not thread-safe (a PaneDeltas belongs to its worker). No I/O, no clock.
#ifndef WEIR_ENGINE_WINDOW_KEYED_WINDOW_H_
#define WEIR_ENGINE_WINDOW_KEYED_WINDOW_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "engine/window/aggregate.h"
#include "engine/window/key_table.h"
#include "engine/window/pane_blob.h"
#include "engine/window/row_table.h"
#include "engine/window/sliding.h"
#include "engine/window/window.h"

namespace weir {

// What one worker has folded since the last Merge: keyed partials by pane. Keeps its memory from batch to batch.
template <Aggregate A>
class PaneDeltas {
 public:
  using Table = KeyTable<typename A::Partial>;
  struct Delta {
    int64_t pane;
    int64_t records;
    Table table;
  };

  // Folds one value into the pane. Amortised O(1); the hot path.
  void Add(int64_t pane, std::string_view key, int64_t value) {
    if (current_ == nullptr || current_->pane != pane) current_ = &Of(pane);
    A::Combine(A::Lift(value), current_->table.FindOrAdd(key, HashKey(key), A::kIdentity).value);
    ++current_->records;
  }

  // Takes over what another worker has folded, and empties it.
  void Absorb(PaneDeltas& other) {
    for (size_t i = 0; i < other.used_; ++i) {
      const Delta& from = *other.deltas_[i];
      Delta& into = Of(from.pane);
      into.records += from.records;
      ForEachEntry(from.table, into.table, [&into](const auto& e) {
        A::Combine(e.value, into.table.FindOrAdd(e.key(), e.hash, A::kIdentity).value);
      });
    }
    other.Clear();
  }

  void Clear() {
    for (size_t i = 0; i < used_; ++i) deltas_[i]->table.Clear();
    // A batch that touched many panes (old data, far out of order) must not keep their memory for ever.
    if (deltas_.size() > 64) deltas_.resize(64);
    used_ = 0;
    current_ = nullptr;
    by_pane_.clear();
  }

  size_t size() const { return used_; }
  const Delta& operator[](size_t i) const { return *deltas_[i]; }

 private:
  Delta& Of(int64_t pane) {
    auto [at, added] = by_pane_.try_emplace(pane, used_);
    if (!added) return *deltas_[at->second];
    if (used_ == deltas_.size()) deltas_.push_back(std::make_unique<Delta>());
    Delta& delta = *deltas_[used_++];
    delta.pane = pane;
    delta.records = 0;
    return delta;
  }

  std::vector<std::unique_ptr<Delta>> deltas_;  // the first used_ are in use
  std::map<int64_t, size_t> by_pane_;
  size_t used_ = 0;
  Delta* current_ = nullptr;
};

struct WindowRows {
  int64_t end_ms;
  int64_t revision;
  int64_t records;
  RowTable rows;
};

template <Aggregate A>
class KeyedWindow {
 public:
  using Table = KeyTable<typename A::Partial>;

  struct Options {
    WindowSpec spec;
    int64_t allowed_lateness_ms = 0;
    bool ordered = true;      // rows in order of key bytes; a chain that re-keys them does not need it
    bool keep_state = false;  // make blobs
    size_t blob_bytes = 64 << 20;  // about so large at most: SQLite takes 1,000,000,000 bytes
  };

  explicit KeyedWindow(const Options& options) : options_(options), run_(options.spec) {}

  // Brings a delta into the panes; appends its blobs to `state`. O(entries), plus O(entries of the window) when late values
  // meet an aggregate without inverse.
  void Merge(const PaneDeltas<A>& deltas, std::vector<PaneBlob>& state) {
    bool rebuild = false;
    for (size_t i = 0; i < deltas.size(); ++i) {
      const auto& delta = deltas[i];
      Pane& pane = panes_[delta.pane];
      if (options_.keep_state) {
        EncodePane<A>(delta.table, delta.records, options_.blob_bytes,
                      [&](std::string blob) { state.push_back({delta.pane, false, std::move(blob)}); });
        ++pane.blobs;
      }
      pane.records += delta.records;
      const bool entered = run_.Holds(delta.pane);
      if (entered) run_.records += delta.records;
      is_new_.clear();
      ForEachEntry(delta.table, pane.table, [&](const auto& e) {
        bool added;
        A::Combine(e.value, pane.table.FindOrAdd(e.key(), e.hash, A::kIdentity, &added).value);
        if (entered) is_new_.push_back(added);
      });
      if constexpr (InvertibleAggregate<A>) {
        if (entered)
          run_.sliding.Amend(pane.table, delta.table, [&](const auto& e) {
            return is_new_[static_cast<size_t>(&e - delta.table.entries().data())];
          });
      } else {
        rebuild |= entered;
      }
      MarkCorrections(delta.pane);
    }
    if (rebuild) {
      Run fresh(options_.spec);
      fresh.from = fresh.to = run_.from;
      fresh.Enter(panes_, run_.to);
      run_ = std::move(fresh);
    }
  }

  // Closes windows with end <= watermark (all that hold anything when `final`); appends them in the order corrections, then
  // new ones, each by end. A window whose ledger entry already counts the same records is left alone.
  // REQUIRES: `watermark` does not go back.
  void Close(int64_t watermark, bool final, std::vector<WindowRows>& out, std::vector<PaneBlob>& state) {
    if (!corrections_.empty()) {
      Run again(options_.spec);
      for (int64_t end : corrections_) {
        again.SlideTo(options_.spec, panes_, end);
        Emit(again, end, out);
      }
      corrections_.clear();
    }
    int64_t target;
    if (final) {
      if (panes_.empty()) return;
      target = options_.spec.LastWindowEnd(panes_.rbegin()->first);
    } else {
      if (watermark == kNoWatermark) return;
      target = options_.spec.WindowEndAtOrBefore(watermark);
    }
    int64_t end = closed_through_ == kNoWatermark ? kNoWatermark : closed_through_ + options_.spec.slide_ms;
    for (;;) {
      const auto first =
          end == kNoWatermark ? panes_.begin() : panes_.lower_bound(options_.spec.FirstPane(end));
      if (first == panes_.end()) break;
      end = std::max(end, options_.spec.FirstWindowEnd(first->first));
      if (end > target) break;
      const int64_t sealed_from = run_.to;
      run_.SlideTo(options_.spec, panes_, end);
      Seal(sealed_from, state);
      Emit(run_, end, out);
      end += options_.spec.slide_ms;
    }
    closed_through_ = std::max(closed_through_, target);
  }

  // Forgets what cannot change any more: panes and ledger entries of windows with end + allowed lateness <= watermark.
  void Release(int64_t watermark) {
    if (watermark == kNoWatermark) return;
    while (!panes_.empty() && Done(options_.spec.LastWindowEnd(panes_.begin()->first), watermark)) {
      run_.LeaveBelow(panes_, panes_.begin()->first + 1);
      panes_.erase(panes_.begin());
    }
    while (!ledger_.empty() && Done(ledger_.begin()->first, watermark)) ledger_.erase(ledger_.begin());
  }

  // Rebuilds what an earlier run stored: first every blob, then Resume with its watermark and the closed windows that may
  // still change. RestorePane is false when the blob is damaged.
  bool RestorePane(int64_t number, std::string_view blob) {
    Pane& pane = panes_[number];
    ++pane.blobs;
    return DecodePane<A>(blob, pane.table, pane.records);
  }
  void ResumeWindow(int64_t end_ms, int64_t revision, int64_t records) { ledger_[end_ms] = {revision, records}; }
  void Resume(int64_t watermark) {
    if (watermark != kNoWatermark) closed_through_ = options_.spec.WindowEndAtOrBefore(watermark);
  }

  size_t panes() const { return panes_.size(); }
  // Memory of panes and totals. O(panes).
  size_t bytes() const {
    size_t sum = run_.sliding.bytes();
    for (const auto& [number, pane] : panes_) sum += pane.table.bytes();
    return sum;
  }

 private:
  struct Pane {
    Table table;
    int64_t records = 0;
    int blobs = 0;  // stored since the last compaction
  };
  using Panes = std::map<int64_t, Pane>;
  using Sliding = typename SlidingOf<A>::type;

  // The aggregate over panes [from, to).
  struct Run {
    explicit Run(const WindowSpec& spec) : sliding(spec.window_ms / spec.pane_ms()) {}

    Sliding sliding;
    int64_t from = INT64_MIN, to = INT64_MIN;
    int64_t records = 0;

    bool Holds(int64_t pane) const { return pane >= from && pane < to; }
    void Enter(Panes& panes, int64_t until) {
      for (auto it = panes.lower_bound(to); it != panes.end() && it->first < until; ++it) {
        sliding.Enter(it->second.table);
        records += it->second.records;
      }
      to = std::max(to, until);
    }
    void LeaveBelow(Panes& panes, int64_t until) {
      for (auto it = panes.lower_bound(from); it != panes.end() && it->first < std::min(until, to); ++it) {
        sliding.Leave(it->second.table);
        records -= it->second.records;
      }
      from = std::max(from, until);
      to = std::max(to, from);
    }
    void SlideTo(const WindowSpec& spec, Panes& panes, int64_t end_ms) {
      LeaveBelow(panes, spec.FirstPane(end_ms));
      Enter(panes, spec.LastPane(end_ms) + 1);
    }
  };

  struct LedgerEntry {
    int64_t revision, records;
  };

  bool Done(int64_t end_ms, int64_t watermark) const {
    return SaturatingAdd(end_ms, options_.allowed_lateness_ms) <= watermark;
  }

  void MarkCorrections(int64_t pane) {
    if (closed_through_ == kNoWatermark) return;
    const int64_t last = std::min(options_.spec.LastWindowEnd(pane), closed_through_);
    for (int64_t end = options_.spec.FirstWindowEnd(pane); end <= last; end += options_.spec.slide_ms)
      corrections_.insert(end);
  }

  // The panes that entered: they hold few new keys from now on. One that took many commits becomes one blob, so that what
  // a restart reads stays in proportion to the state.
  void Seal(int64_t sealed_from, std::vector<PaneBlob>& state) {
    for (auto it = panes_.lower_bound(std::max(sealed_from, run_.from)); it != panes_.end() && it->first < run_.to; ++it) {
      it->second.table.Seal();
      if (!options_.keep_state || it->second.blobs < kCompactAt) continue;
      bool first = true;  // replaces all that was stored; the others are added to it
      EncodePane<A>(it->second.table, it->second.records, options_.blob_bytes,
                    [&](std::string blob) { state.push_back({it->first, std::exchange(first, false), std::move(blob)}); });
      it->second.blobs = 1;
    }
  }

  void Emit(Run& run, int64_t end, std::vector<WindowRows>& out) {
    const auto [entry, first] = ledger_.try_emplace(end, LedgerEntry{-1, 0});
    if (!first && entry->second.records == run.records) return;
    entry->second.revision += 1;
    entry->second.records = run.records;
    WindowRows& window = out.emplace_back(WindowRows{end, entry->second.revision, run.records, {}});
    window.rows.Reserve(run.sliding.keys(), run.sliding.key_bytes());
    run.sliding.ForEach(options_.ordered, [&](std::string_view key, const typename A::Partial& partial) {
      if (const int64_t value = A::Lower(partial); value != 0) window.rows.Add(key, value);
    });
  }

  static constexpr int kCompactAt = 8;

  const Options options_;
  Panes panes_;
  Run run_;                                // follows the newest closed window
  int64_t closed_through_ = kNoWatermark;  // ends up to here have been closed
  std::map<int64_t, LedgerEntry> ledger_;  // closed windows that may still change
  std::set<int64_t> corrections_;          // ends of closed windows that a late value changed
  std::vector<bool> is_new_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_KEYED_WINDOW_H_
