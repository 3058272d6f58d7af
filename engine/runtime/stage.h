// engine/runtime/stage.h: the engine's side of one operator.
//
// One virtual call per chunk, none per record: operator and aggregate are template arguments behind it (operator.h).
#ifndef WEIR_ENGINE_RUNTIME_STAGE_H_
#define WEIR_ENGINE_RUNTIME_STAGE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/record/projection.h"
#include "engine/window/pane_blob.h"
#include "engine/window/row_table.h"
#include "engine/window/window.h"

namespace weir {

// What a stage needs to know of the job.
struct StageOptions {
  WindowSpec spec;
  int64_t allowed_lateness_ms = 0;
  bool keep_state = false;  // make blobs for the results file
  std::vector<int> columns; // where the operator's reads are among the projection's columns
};

// One worker's share of a batch. Owned by that worker until Merge.
class StageDelta {
 public:
  virtual ~StageDelta() = default;
};

struct StageWindow {
  int64_t end_ms;
  int64_t revision;
  int64_t records;
  RowTable rows;     // after chains, before --top
};

class WindowStage {
 public:
  virtual ~WindowStage() = default;

  virtual std::unique_ptr<StageDelta> NewDelta() const = 0;
  // Folds the rows of one chunk that count. Worker thread; nothing but `delta` is written.
  virtual void Fold(const ProjectedChunk& chunk, StageDelta& delta) const = 0;

  // The rest on one thread at a time, not always the same, while no Fold is under way.

  // Brings all deltas into the panes and empties them; appends blobs to `state`.
  virtual void Merge(std::span<const std::unique_ptr<StageDelta>> deltas, std::vector<PaneBlob>& state) = 0;
  // Closes each window with end <= watermark (all, when `final`), oldest first, and those that were corrected.
  // REQUIRES: `watermark` does not go back.
  virtual void Close(int64_t watermark, bool final, std::vector<StageWindow>& out, std::vector<PaneBlob>& state) = 0;
  virtual void Release(int64_t watermark) = 0;

  // Rebuilds what an earlier run stored: each blob, each closed window that may still change, then the watermark.
  // False: the blob is damaged.
  virtual bool RestorePane(int64_t pane, std::string_view blob) = 0;
  virtual void ResumeWindow(int64_t end_ms, int64_t revision, int64_t records) = 0;
  virtual void Resume(int64_t watermark) = 0;

  virtual size_t state_bytes() const = 0;
  virtual size_t panes() const = 0;
};

}  // namespace weir

#endif  // WEIR_ENGINE_RUNTIME_STAGE_H_
