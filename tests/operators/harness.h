// tests/operators/harness.h: an operator driven by hand, without broker, file, thread or clock.
//
//   OperatorHarness job(TweetsByLocation(), {{"normalize", "casefold"}}, {.window_ms = 10, .slide_ms = 5});
//   job.Feed({R"({"timestamp_ms":1,"user":{"location":"Oslo"}})"});
//   job.AdvanceWatermark(10);
//   EXPECT_EQ(job.TakeRows(), R"(
//   window   location  tweets
//   [-5,5)   oslo      1
//   [0,10)   oslo      1
//   )");
#ifndef WEIR_TESTS_OPERATORS_HARNESS_H_
#define WEIR_TESTS_OPERATORS_HARNESS_H_

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/runtime/job.h"
#include "engine/runtime/operator.h"
#include "gtest/gtest.h"
#include "operators/formats.h"
#include "operators/registry.h"

namespace weir {

class OperatorHarness {
 public:
  OperatorHarness(Operator op, const WindowSpec& window, const Format& format = TwitterV1(), int workers = 2)
      : operator_(std::move(op)), window_(window) {
    JobOptions options;
    options.format = format;
    options.window = window;
    absl::StatusOr<ColumnPlan> plan = PlanColumns(options, {operator_});
    EXPECT_TRUE(plan.ok()) << plan.status();
    projector_ = std::make_unique<Projector>(*MakeProjectionPlan(plan->projection));
    stage_ = operator_.make_stage({.spec = window, .keep_state = true, .columns = plan->columns[0]});
    for (int w = 0; w < workers; ++w) deltas_.push_back(stage_->NewDelta());
    partitions_ = std::make_shared<std::vector<PartitionName>>(std::vector<PartitionName>{{"tweets", 0}, {"tweets", 1}});
  }
  // Parameters that are not named have their defaults.
  OperatorHarness(const OperatorInfo& info, std::map<std::string, std::string> values, const WindowSpec& window,
                  const Format& format = TwitterV1())
      : OperatorHarness(Make(info, std::move(values)), window, format) {}

  // One chunk of a batch of its own, for the next worker in turn.
  void Feed(const std::vector<std::string>& documents, PartitionIndex partition = 0) {
    Chunk raw;
    for (const std::string& document : documents) {
      const size_t at = raw.Append(document);
      raw.records.push_back({.begin = at, .size = static_cast<uint32_t>(document.size()), .partition = partition, .offset = offset_++});
    }
    raw.Reserve(0);
    ProjectedChunk chunk;
    chunk.partitions = partitions_;
    projector_->Project(raw, {.quarantine_after_ms = kForever}, chunk);
    for (uint32_t row = 0; row < chunk.records.size(); ++row) {
      EXPECT_EQ(chunk.records[row].kind, RecordKind::kTimed) << documents[row];
      if (chunk.records[row].kind != RecordKind::kTimed) continue;
      chunk.rows.push_back(row);
      chunk.panes.push_back(window_.PaneOf(chunk.records[row].time_ms));
    }
    stage_->Fold(chunk, *deltas_[next_worker_++ % deltas_.size()]);
  }
  void AdvanceWatermark(int64_t to_ms) { Close(to_ms, false); }
  void Finish() { Close(kNoWatermark, true); }

  // The rows since last asked: newest state of each window, in order of window and key. Headed by the columns.
  std::string TakeRows() {
    std::vector<std::vector<std::string>> cells = {{"window", operator_.key_column, operator_.value_column}};
    for (const StageWindow& w : closed_)
      for (size_t i = 0; i < w.rows.size(); ++i)
        cells.push_back({"[" + std::to_string(w.end_ms - window_.window_ms) + "," + std::to_string(w.end_ms) + ")",
                         std::string(w.rows.key(i)), std::to_string(w.rows.value(i))});
    closed_.clear();
    size_t width[2] = {0, 0};
    for (const auto& row : cells)
      for (size_t c = 0; c < 2; ++c) width[c] = std::max(width[c], row[c].size());
    std::string text = "\n";
    for (const auto& row : cells) {
      for (size_t c = 0; c < 2; ++c) text += row[c] + std::string(width[c] + 2 - row[c].size(), ' ');
      text += row[2] + "\n";
    }
    return text;
  }
  const Operator& op() const { return operator_; }

 private:
  static Operator Make(const OperatorInfo& info, std::map<std::string, std::string> values) {
    for (const OperatorParam& param : info.params) values.try_emplace(param.name, param.default_value);
    absl::StatusOr<Operator> op = info.make(values);
    EXPECT_TRUE(op.ok()) << op.status();
    return *std::move(op);
  }
  void Close(int64_t watermark, bool final) {
    std::vector<PaneBlob> state;
    stage_->Merge(deltas_, state);
    stage_->Close(watermark, final, closed_, state);
    stage_->Release(watermark);
  }

  const Operator operator_;
  const WindowSpec window_;
  std::unique_ptr<Projector> projector_;
  std::unique_ptr<WindowStage> stage_;
  std::vector<std::unique_ptr<StageDelta>> deltas_;
  std::shared_ptr<std::vector<PartitionName>> partitions_;
  std::vector<StageWindow> closed_;
  int64_t offset_ = 0;
  size_t next_worker_ = 0;
};

}  // namespace weir

#endif  // WEIR_TESTS_OPERATORS_HARNESS_H_
