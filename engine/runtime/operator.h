// engine/runtime/operator.h: how an operator is written.
//
//   Operator TweetsByLocation() {
//     return Define("tweets_by_location", "Tweets per location given in the author's profile")
//         .Reads(Text("location"))                          // a field of the format, or a JSON path
//         .Key("location").Counts("tweets")                 // output columns and the aggregate
//         .Map([](const auto& batch, auto& emit) {          // one call per chunk of a micro-batch
//           for (const auto& row : batch)
//             if (auto place = Trim(row.template get<0>()); !place.empty()) emit(row, place);
//         });
//   }
//
// The author names the fields that are read, maps rows to keyed values, and names the aggregate that folds them. The engine
// owns time, panes, state, recovery and threads. Map is called on worker threads, for several chunks at once: it must not
// write anything but `emit`. Texts are UTF-8 views that last until Map returns; the engine copies the keys that it needs.
//
// A chain runs on the rows of each window that closes: `.Key("status", "user").Max("weight").Map(…).Then(SumBy("user",
// "mentions"))`. It is a pure function of those rows, so it has no state of its own.
#ifndef WEIR_ENGINE_RUNTIME_OPERATOR_H_
#define WEIR_ENGINE_RUNTIME_OPERATOR_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/record/columns.h"
#include "engine/record/projection.h"
#include "engine/runtime/stage.h"
#include "engine/status_macros.h"
#include "engine/window/aggregate.h"
#include "engine/window/keyed_window.h"

namespace weir {

// How a field's name is looked up in the job's format.
enum class FieldNeed {
  kRequired,  // the format must have it
  kOptional,  // absent from every record where the format has no such field
  kPath,      // where the format has no such field, the name is a JSON path
};

// A field that an operator reads.
template <ColumnType T>
struct Field {
  static constexpr ColumnType kType = T;
  std::string name;
  FieldNeed need;
};
inline Field<ColumnType::kText> Text(std::string name, FieldNeed need = FieldNeed::kRequired) {
  return {std::move(name), need};
}
inline Field<ColumnType::kTextList> TextList(std::string name, FieldNeed need = FieldNeed::kRequired) {
  return {std::move(name), need};
}
inline Field<ColumnType::kInt> Int(std::string name, FieldNeed need = FieldNeed::kRequired) {
  return {std::move(name), need};
}
inline Field<ColumnType::kExists> Exists(std::string name, FieldNeed need = FieldNeed::kRequired) {
  return {std::move(name), need};
}

struct FieldRead {
  std::string name;
  ColumnType type;
  FieldNeed need;
};

// Key columns of a chain's input, joined to one byte string: all but the last with their length before them.
void AppendKeyPart(std::string_view part, bool last, std::string& key);
// The parts of such a key. REQUIRES: made by AppendKeyPart with `parts.size()` parts.
void SplitKey(std::string_view key, std::span<std::string_view> parts);

// A step on the rows of a closed window.
struct RowStep {
  std::string description;                       // for `weir explain`
  std::vector<std::string> keys;                 // output key columns
  std::string value;                             // output value column
  std::function<RowTable(const RowTable&)> run;  // ascending key bytes out
};

enum class AggregateKind { kCount, kSum, kMax };

// The operator's map by itself, for who folds in another way (`weir verify`): calls `emit` for each keyed value of the chunk's
// rows, with the row's event time.
using EmitEach = std::function<void(int64_t event_time_ms, std::string_view key, int64_t value)>;
using MapOnly = std::function<void(const ProjectedChunk&, const std::vector<int>& columns, const EmitEach& emit)>;

// An operator, ready to be put into a job. Copies are cheap and share the map function.
struct Operator {
  std::string name, summary;
  std::vector<FieldRead> reads;
  std::string key_column, value_column;  // of the results table
  std::string aggregate;                 // in words, for `weir operators` and `weir explain`
  // Parameters that were set, in a canonical spelling: part of what makes a job the same job.
  std::vector<std::pair<std::string, std::string>> parameters;
  std::function<std::unique_ptr<WindowStage>(const StageOptions&)> make_stage;
  // The same in its parts: map, aggregate, chain.
  MapOnly map_only;
  AggregateKind kind = AggregateKind::kCount;
  std::vector<RowStep> chain;
};

namespace operator_internal {

template <class A>
inline constexpr AggregateKind kKindOf = AggregateKind::kCount;
template <>
inline constexpr AggregateKind kKindOf<Sum> = AggregateKind::kSum;
template <>
inline constexpr AggregateKind kKindOf<Max> = AggregateKind::kMax;

template <class Fn, class Aggregate, size_t kKeys, class... Fields>
class KeyedStage;

template <class... Fields>
class Batch;

// One row: typed access to the fields in the order of Reads().
template <class... Fields>
class Row {
 public:
  Row(const Batch<Fields...>* batch, uint32_t position) : batch_(batch), position_(position) {}

  // std::string_view (data() == nullptr: absent), std::span<const std::string_view>, std::optional<int64_t> or bool.
  template <size_t I>
  auto get() const {
    using F = std::tuple_element_t<I, std::tuple<Fields...>>;
    const Column& column = *batch_->columns_[I];
    const uint32_t row = batch_->chunk_->rows[position_];
    if constexpr (F::kType == ColumnType::kText) return column.text(row);
    else if constexpr (F::kType == ColumnType::kTextList) return column.list(row);
    else if constexpr (F::kType == ColumnType::kInt) return column.integer(row);
    else return column.exists(row);
  }
  int64_t event_time_ms() const { return record().time_ms; }
  // Topic (or file), partition and offset: what names this record and no other, in this run and the next.
  const PartitionName& partition() const { return (*batch_->chunk_->partitions)[record().partition]; }
  int64_t offset() const { return record().offset; }
  int64_t pane() const { return batch_->chunk_->panes[position_]; }

 private:
  const ProjectedChunk::Record& record() const { return batch_->chunk_->records[batch_->chunk_->rows[position_]]; }
  const Batch<Fields...>* batch_;
  uint32_t position_;
};

template <class... Fields>
class Batch {
 public:
  Batch(const ProjectedChunk& chunk, const std::vector<int>& columns) : chunk_(&chunk) {
    for (size_t i = 0; i < sizeof...(Fields); ++i) columns_[i] = &chunk.columns[columns[i]];
  }
  class Iterator {
   public:
    Iterator(const Batch* batch, uint32_t position) : batch_(batch), position_(position) {}
    Row<Fields...> operator*() const { return {batch_, position_}; }
    Iterator& operator++() {
      ++position_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return position_ != other.position_; }

   private:
    const Batch* batch_;
    uint32_t position_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, static_cast<uint32_t>(chunk_->rows.size())}; }
  size_t size() const { return chunk_->rows.size(); }

 private:
  friend class Row<Fields...>;
  const ProjectedChunk* chunk_;
  std::array<const Column*, sizeof...(Fields)> columns_;
};

// emit(row, key…) counts, emit(row, key…, value) gives a value.
template <class A, size_t kKeys>
class Emit {
 public:
  explicit Emit(PaneDeltas<A>& deltas) : deltas_(deltas) {}

  template <class Row, class... Args>
  void operator()(const Row& row, const Args&... args) {
    static_assert(sizeof...(Args) == kKeys || sizeof...(Args) == kKeys + 1, "emit(row, one text per key column[, value])");
    const auto all = std::tie(args...);
    int64_t value = 1;
    if constexpr (sizeof...(Args) == kKeys + 1) value = std::get<kKeys>(all);
    if constexpr (kKeys == 1) {
      deltas_.Add(row.pane(), std::get<0>(all), value);
    } else {
      key_.clear();
      [&]<size_t... I>(std::index_sequence<I...>) {
        (AppendKeyPart(std::get<I>(all), I + 1 == kKeys, key_), ...);
      }(std::make_index_sequence<kKeys>());
      deltas_.Add(row.pane(), key_, value);
    }
  }

 private:
  PaneDeltas<A>& deltas_;
  std::string key_;
};

// What Emit does, without aggregate and panes.
template <size_t kKeys>
class EmitOnly {
 public:
  explicit EmitOnly(const EmitEach& each) : each_(each) {}

  template <class Row, class... Args>
  void operator()(const Row& row, const Args&... args) {
    const auto all = std::tie(args...);
    int64_t value = 1;
    if constexpr (sizeof...(Args) == kKeys + 1) value = std::get<kKeys>(all);
    key_.clear();
    if constexpr (kKeys == 1) {
      key_ = std::get<0>(all);
    } else {
      [&]<size_t... I>(std::index_sequence<I...>) {
        (AppendKeyPart(std::get<I>(all), I + 1 == kKeys, key_), ...);
      }(std::make_index_sequence<kKeys>());
    }
    each_(row.event_time_ms(), key_, value);
  }

 private:
  const EmitEach& each_;
  std::string key_;
};

template <class Fn, class A, size_t kKeys, class... Fields>
class KeyedStage final : public WindowStage {
 public:
  KeyedStage(std::shared_ptr<const Fn> map, std::vector<RowStep> steps, const StageOptions& options)
      : map_(std::move(map)),
        steps_(std::move(steps)),
        columns_(options.columns),
        window_({.spec = options.spec,
                 .allowed_lateness_ms = options.allowed_lateness_ms,
                 .ordered = steps_.empty(),
                 .keep_state = options.keep_state}) {}

  std::unique_ptr<StageDelta> NewDelta() const override { return std::make_unique<Delta>(); }

  void Fold(const ProjectedChunk& chunk, StageDelta& delta) const override {
    Emit<A, kKeys> emit(static_cast<Delta&>(delta).panes);
    (*map_)(Batch<Fields...>(chunk, columns_), emit);
  }

  void Merge(std::span<const std::unique_ptr<StageDelta>> deltas, std::vector<PaneBlob>& state) override {
    PaneDeltas<A>& first = static_cast<Delta&>(*deltas[0]).panes;
    for (size_t i = 1; i < deltas.size(); ++i) first.Absorb(static_cast<Delta&>(*deltas[i]).panes);
    window_.Merge(first, state);
    first.Clear();
  }

  void Close(int64_t watermark, bool final, std::vector<StageWindow>& out, std::vector<PaneBlob>& state) override {
    closed_.clear();
    window_.Close(watermark, final, closed_, state);
    for (WindowRows& window : closed_) {
      RowTable rows = std::move(window.rows);
      for (const RowStep& step : steps_) rows = step.run(rows);
      out.push_back({window.end_ms, window.revision, window.records, std::move(rows)});
    }
  }

  void Release(int64_t watermark) override { window_.Release(watermark); }
  bool RestorePane(int64_t pane, std::string_view blob) override { return window_.RestorePane(pane, blob); }
  void ResumeWindow(int64_t end_ms, int64_t revision, int64_t records) override {
    window_.ResumeWindow(end_ms, revision, records);
  }
  void Resume(int64_t watermark) override { window_.Resume(watermark); }
  size_t state_bytes() const override { return window_.bytes(); }
  size_t panes() const override { return window_.panes(); }

 private:
  struct Delta final : StageDelta {
    PaneDeltas<A> panes;
  };

  const std::shared_ptr<const Fn> map_;
  const std::vector<RowStep> steps_;
  const std::vector<int> columns_;
  KeyedWindow<A> window_;
  std::vector<WindowRows> closed_;
};

}  // namespace operator_internal

// An operator whose chain may still grow.
class ChainedOperator {
 public:
  // Makes the stage for a given chain; the operator's parts are filled in by the builder.
  using MakeStage = std::function<std::unique_ptr<WindowStage>(const StageOptions&, const std::vector<RowStep>&)>;

  ChainedOperator(Operator base, std::vector<std::string> keys, std::string value, MakeStage make)
      : operator_(std::move(base)), keys_(std::move(keys)), value_(std::move(value)), make_(std::move(make)) {}

  // Runs `step(input keys, input value)` on the rows of each closed window.
  template <class Step>
  ChainedOperator Then(const Step& step) && {
    RowStep made = step(keys_, value_);
    keys_ = made.keys;
    value_ = made.value;
    operator_.aggregate += ", then " + made.description;
    steps_.push_back(std::move(made));
    return std::move(*this);
  }

  operator Operator() && {  // NOLINT: the end of the builder
    operator_.key_column = keys_.back();
    operator_.value_column = value_;
    operator_.chain = steps_;
    operator_.make_stage = [make = std::move(make_), steps = std::move(steps_)](const StageOptions& options) {
      return make(options, steps);
    };
    return std::move(operator_);
  }

 private:
  Operator operator_;
  std::vector<std::string> keys_;
  std::string value_;
  MakeStage make_;
  std::vector<RowStep> steps_;
};

// The step behind SumBy. REQUIRES: `by` is one of `keys`.
RowStep MakeSumBy(const std::vector<std::string>& keys, const std::string& value, const std::string& by,
                  const std::string& as);

// Sums the rows by one of their key columns.
inline auto SumBy(std::string key, std::string as) {
  return [key = std::move(key), as = std::move(as)](const std::vector<std::string>& keys, const std::string& value) {
    return MakeSumBy(keys, value, key, as);
  };
}

namespace operator_internal {

template <class A, size_t kKeys, class... Fields>
class Mapped {
 public:
  Mapped(Operator base, std::vector<std::string> keys, std::string value)
      : operator_(std::move(base)), keys_(std::move(keys)), value_(std::move(value)) {}

  // `fn(batch, emit)`; see the top of this file.
  template <class Fn>
  ChainedOperator Map(Fn fn) && {
    auto map = std::make_shared<const Fn>(std::move(fn));
    operator_.kind = kKindOf<A>;
    operator_.map_only = [map](const ProjectedChunk& chunk, const std::vector<int>& columns, const EmitEach& each) {
      EmitOnly<kKeys> emit(each);
      (*map)(Batch<Fields...>(chunk, columns), emit);
    };
    return ChainedOperator(std::move(operator_), std::move(keys_), std::move(value_),
                           [map](const StageOptions& options, const std::vector<RowStep>& steps) {
                             return std::make_unique<KeyedStage<Fn, A, kKeys, Fields...>>(map, steps, options);
                           });
  }

 private:
  Operator operator_;
  std::vector<std::string> keys_;
  std::string value_;
};

template <size_t kKeys, class... Fields>
class Keyed {
 public:
  Keyed(Operator base, std::vector<std::string> keys) : operator_(std::move(base)), keys_(std::move(keys)) {}
  Mapped<Count, kKeys, Fields...> Counts(std::string value) && { return With<Count>(std::move(value), "count"); }
  Mapped<weir::Sum, kKeys, Fields...> Sum(std::string value) && { return With<weir::Sum>(std::move(value), "sum"); }
  Mapped<weir::Max, kKeys, Fields...> Max(std::string value) && { return With<weir::Max>(std::move(value), "max"); }

 private:
  template <class A>
  Mapped<A, kKeys, Fields...> With(std::string value, std::string_view what) {
    operator_.aggregate = std::string(what) + " as " + value + " by ";
    for (size_t i = 0; i < keys_.size(); ++i) operator_.aggregate += (i == 0 ? "" : ", ") + keys_[i];
    return {std::move(operator_), std::move(keys_), std::move(value)};
  }
  Operator operator_;
  std::vector<std::string> keys_;
};

template <class... Fields>
class Reading {
 public:
  explicit Reading(Operator base) : operator_(std::move(base)) {}
  // The names of the key columns; emit() gives one text for each.
  template <class... Names>
  Keyed<sizeof...(Names), Fields...> Key(Names... names) && {
    return {std::move(operator_), {std::string(names)...}};
  }

 private:
  Operator operator_;
};

}  // namespace operator_internal

// [a-z_][a-z0-9_]*, and not weir's or SQLite's own.
bool IsIdentifier(std::string_view name);

class OperatorBuilder {
 public:
  OperatorBuilder(std::string name, std::string summary) {
    WEIR_CHECK(IsIdentifier(name));
    operator_.name = std::move(name);
    operator_.summary = std::move(summary);
  }
  template <class... Fields>
  operator_internal::Reading<Fields...> Reads(Fields... fields) && {
    operator_.reads = {FieldRead{fields.name, Fields::kType, fields.need}...};
    return operator_internal::Reading<Fields...>(std::move(operator_));
  }

 private:
  Operator operator_;
};

// Begins an operator. The name is that of its results table: [a-z_][a-z0-9_]*.
inline OperatorBuilder Define(std::string name, std::string summary) { return {std::move(name), std::move(summary)}; }

}  // namespace weir

#endif  // WEIR_ENGINE_RUNTIME_OPERATOR_H_
