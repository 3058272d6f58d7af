#include "engine/window/watermark.h"

#include <algorithm>
#include <cstring>

namespace weir {

void PartitionWatermark::SetTop(int64_t top) {
  state_.top = top;
  watermark_ = delay_ms_ == kForever ? kNoWatermark : SaturatingAdd(top, -delay_ms_);
  reach_ = SaturatingAdd(top, max_jump_ms_);
}

int64_t PartitionWatermark::TopOfFirst() const {
  std::array<int64_t, kQuorum> sorted = state_.first;
  std::sort(sorted.begin(), sorted.begin() + state_.seen);
  const int64_t limit = SaturatingAdd(sorted[(state_.seen + 1) / 2 - 1], max_jump_ms_);
  return *(std::upper_bound(sorted.begin(), sorted.begin() + state_.seen, limit) - 1);
}

void PartitionWatermark::ObserveFirst(int64_t time_ms) {
  state_.first[state_.seen++] = time_ms;
  if (state_.seen == kQuorum) SetTop(TopOfFirst());
}

void PartitionWatermark::ObserveCandidate(int64_t time_ms) {
  state_.least_candidate = state_.candidates == 0 ? time_ms : std::min(state_.least_candidate, time_ms);
  if (++state_.candidates == kQuorum) {
    SetTop(state_.least_candidate);
    state_.candidates = 0;
  }
}

int64_t PartitionWatermark::SilentWatermark() const {
  if (state_.seen == kQuorum) return watermark_;
  if (state_.seen == 0 || delay_ms_ == kForever) return kNoWatermark;
  return SaturatingAdd(TopOfFirst(), -delay_ms_);
}

std::string PartitionWatermark::Save() const {
  static_assert(sizeof(State) == 2 * 8 + 2 * 4 + kQuorum * 8, "no padding: the bytes are stored");
  std::string bytes(sizeof(State), '\0');
  std::memcpy(bytes.data(), &state_, sizeof(State));
  return bytes;
}

bool PartitionWatermark::Restore(std::string_view bytes) {
  State state;
  if (bytes.size() != sizeof(State)) return false;
  std::memcpy(&state, bytes.data(), sizeof(State));
  if (state.seen < 0 || state.seen > kQuorum || state.candidates < 0 || state.candidates >= kQuorum) return false;
  state_ = state;
  if (state_.seen == kQuorum) SetTop(state_.top);
  return true;
}

}  // namespace weir
