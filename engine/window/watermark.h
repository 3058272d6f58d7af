// engine/window/watermark.h: how far one partition has come in event time.
//
// watermark = top - delay, where `top` is a robust "greatest time seen": a function of the times before, in offset
// order, and of nothing else, so that whether a record is late does not depend on batches, threads or the clock.
//   - No top before the 16th time. With it: m = the 8th smallest of the 16; top = the greatest that is <= m + max_jump.
//   - Then a time t <= top + max_jump sets top = max(top, t) and forgets candidates; a greater one is a candidate; when
//     16 candidates have come with nothing between, top = the least of them.
// One absurd date therefore never makes honest records late, and a true leap is followed after 16 records.
// Not thread-safe. No I/O, no clock.
#ifndef WEIR_ENGINE_WINDOW_WATERMARK_H_
#define WEIR_ENGINE_WINDOW_WATERMARK_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/window/window.h"

namespace weir {

class PartitionWatermark {
 public:
  static constexpr int kQuorum = 16;  // times that settle the first top, and that confirm a leap

  // Lengths in ms, >= 0, or kForever. With a delay of kForever there never is a watermark.
  PartitionWatermark(int64_t delay_ms, int64_t max_jump_ms) : delay_ms_(delay_ms), max_jump_ms_(max_jump_ms) {}

  // Takes the next record's event time. O(1).
  void Observe(int64_t time_ms) {
    if (state_.seen < kQuorum) {
      ObserveFirst(time_ms);
    } else if (time_ms <= reach_) {
      if (time_ms > state_.top) SetTop(time_ms);
      state_.candidates = 0;
    } else {
      ObserveCandidate(time_ms);
    }
  }

  // kNoWatermark before the 16th time.
  int64_t watermark() const { return watermark_; }

  // The watermark if the partition has fallen silent: the first rule over the times seen so far. kNoWatermark when
  // there are none.
  int64_t SilentWatermark() const;

  // State as bytes, and back. Restore is false, and changes nothing, when the bytes are not from Save.
  std::string Save() const;
  bool Restore(std::string_view bytes);

 private:
  struct State {
    int64_t top = kNoWatermark;
    int64_t least_candidate = 0;
    int32_t seen = 0;        // up to kQuorum
    int32_t candidates = 0;  // in a row
    std::array<int64_t, kQuorum> first{};
  };

  void ObserveFirst(int64_t time_ms);
  void ObserveCandidate(int64_t time_ms);
  void SetTop(int64_t top);
  int64_t TopOfFirst() const;

  const int64_t delay_ms_;
  const int64_t max_jump_ms_;
  State state_;
  int64_t watermark_ = kNoWatermark;  // cache: top - delay
  int64_t reach_ = kNoWatermark;      // cache: top + max_jump
};

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_WATERMARK_H_
