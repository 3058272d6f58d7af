#include "engine/runtime/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <set>

#include "absl/time/clock.h"
#include "engine/runtime/commit_queue.h"
#include "engine/runtime/worker_pool.h"
#include "engine/status_macros.h"
#include "engine/window/watermark.h"

namespace weir {
namespace {

int64_t WallMs() { return absl::ToUnixMillis(absl::Now()); }

void Add(const FateCounts& from, FateCounts& into, int64_t sign = 1) {
  into.consumed += sign * from.consumed;
  into.aggregated += sign * from.aggregated;
  into.filtered += sign * from.filtered;
  into.skipped += sign * from.skipped;
  into.late += sign * from.late;
  into.invalid += sign * from.invalid;
  into.quarantined += sign * from.quarantined;
  into.duplicates += sign * from.duplicates;
  into.gap += sign * from.gap;
}

// The engine's side of a partition.
struct Partition {
  Partition(int64_t delay_ms, int64_t max_jump_ms) : tracker(delay_ms, max_jump_ms) {}
  PartitionWatermark tracker;
  FateCounts counts;            // since the job began
  int64_t committed_next = 0;   // next offset when the last commit was made
  absl::Time last_record;       // when it last had one
  bool changed = false;         // since the last commit
};

}  // namespace

class Job::Impl {
 public:
  explicit Impl(Parts parts)
      : options_(std::move(parts.options)),
        operators_(std::move(parts.operators)),
        source_(std::move(parts.source)),
        results_(std::move(parts.results)),
        sinks_(std::move(parts.sinks)),
        on_batch_(std::move(parts.on_batch)),
        on_notice_(std::move(parts.on_notice)),
        pool_(options_.workers) {}

  absl::Status Open() {
    WEIR_ASSIGN_OR_RETURN(ColumnPlan plan, PlanColumns(options_, operators_));
    WEIR_ASSIGN_OR_RETURN(const std::shared_ptr<const ProjectionPlan> projection, MakeProjectionPlan(std::move(plan.projection)));
    for (size_t i = 0; i < operators_.size(); ++i) {
      stages_.push_back(operators_[i].make_stage({.spec = options_.window,
                                                  .allowed_lateness_ms = options_.allowed_lateness_ms,
                                                  .keep_state = results_ != nullptr,
                                                  .columns = plan.columns[i]}));
    }
    for (int w = 0; w < pool_.size(); ++w) {
      Worker& worker = workers_.emplace_back();
      worker.projector = std::make_unique<Projector>(projection);
    }
    deltas_.resize(stages_.size());
    outputs_.resize(stages_.size());
    for (size_t s = 0; s < stages_.size(); ++s)
      for (int w = 0; w < pool_.size(); ++w) deltas_[s].push_back(stages_[s]->NewDelta());
    WEIR_RETURN_IF_ERROR(Restore());
    std::vector<PartitionPosition> resume;
    for (const PartitionProgress& p : restored_) resume.push_back(p.position);
    WEIR_RETURN_IF_ERROR(source_->Open(resume));
    // Not earlier: a run whose input cannot be had leaves the file as it is, also with --reset.
    if (results_ != nullptr) WEIR_RETURN_IF_ERROR(results_->Begin());
    MeetPartitions();
    return absl::OkStatus();
  }

  absl::Status Run() {
    std::vector<Sink*> sinks;
    if (results_ != nullptr) sinks.push_back(results_.get());
    for (const auto& sink : sinks_) sinks.push_back(sink.get());
    CommitQueue queue(sinks);
    started_ = absl::Now();
    idle_since_ = started_;
    const absl::Time end = started_ + options_.run_for;
    absl::Status status;
    bool over = false;
    while (!over) {
      auto commit = std::make_unique<Commit>();
      bool broken = false;
      status = ReadBatch(end, *commit, broken);
      if (broken) break;  // nothing of this batch is committed; it is read again
      // After an error of the source, what was read before it counts, and the run ends.
      const bool failed = !status.ok();
      const bool stopped = stop_.load();
      const bool limit = options_.limit > 0 && report_.counts.consumed + batch_records_ >= options_.limit;
      const bool ended = !failed && (source_->ended() || limit || (!stopped && absl::Now() >= end));
      over = ended || stopped || failed;
      const absl::Time reading_done = absl::Now();
      AdvanceWatermark();
      const absl::Status closed = MergeAndClose(ended, *commit);
      if (!closed.ok()) {  // an operator threw: the batch is not whole
        status = closed;
        break;
      }
      commit->all_closed = ended;
      DescribePartitions(*commit);
      if (!commit->empty()) {
        ++report_.commits;
        const absl::Status pushed = queue.Push(std::move(commit));
        if (!pushed.ok()) {
          status = pushed;
          break;
        }
      }
      PassOn(queue);
      if (batch_records_ > 0) report_.batch_time = absl::Now() - reading_done;
      Report();
    }
    const absl::Status drained = queue.Drain();
    if (status.ok()) status = drained;
    PassOn(queue);
    if (results_ != nullptr) {
      const absl::Status closed = results_->Close();
      if (status.ok()) status = closed;
    }
    for (const auto& sink : sinks_) {
      const absl::Status closed = sink->Close();
      if (status.ok()) status = closed;
    }
    report_.elapsed = absl::Now() - started_;
    return status;
  }

  void Stop() {
    stop_.store(true);
    source_->Interrupt();
  }

  const JobReport& report() const { return report_; }

 private:
  struct Worker {
    std::unique_ptr<Projector> projector;
    Chunk chunk;
    ProjectedChunk projected;
  };

  // What a stage brings to the commit.
  struct StageOutput {
    std::vector<StageWindow> closed;
    std::vector<ClosedWindow> windows;
    std::vector<PaneBlob> blobs;
  };

  absl::Status Restore() {
    if (results_ == nullptr) return absl::OkStatus();
    const auto pane = [this](uint32_t op, int64_t number, std::string_view blob) {
      return op < stages_.size() && stages_[op]->RestorePane(number, blob);
    };
    const auto window = [this](const ResultsFile::Restored::Window& w) {
      stages_[w.op]->ResumeWindow(w.end_ms, w.revision, w.records);
    };
    WEIR_ASSIGN_OR_RETURN(ResultsFile::Restored restored, results_->Restore(options_.allowed_lateness_ms, pane, window));
    restored_ = std::move(restored.partitions);
    for (const PartitionProgress& p : restored_)
      if (!PartitionWatermark(options_.watermark_delay_ms, options_.max_jump_ms).Restore(p.tracker))
        return absl::UnknownError(fmt::format("the results file is damaged: the watermark state of topic \"{}\" partition {} cannot be read. "
                                              "Restore the file from a copy, or start over with --reset.",
                                              p.position.topic, p.position.partition));
    job_watermark_ = restored.job_watermark_ms;
    for (const auto& stage : stages_) stage->Resume(job_watermark_);
    return absl::OkStatus();
  }

  // A partition that the engine has not met yet: new, or known from an earlier run.
  void MeetPartition(const PartitionName& name) {
    Partition& partition = partitions_.emplace_back(options_.watermark_delay_ms, options_.max_jump_ms);
    partition.last_record = absl::Now();
    partition.changed = true;
    for (const PartitionProgress& known : restored_) {
      if (known.position.topic != name.topic || known.position.partition != name.partition) continue;
      partition.counts = known.counts;
      Add(known.counts, base_);
      WEIR_CHECK(partition.tracker.Restore(known.tracker));
      partition.committed_next = known.position.next_offset;
      // While this job was not running nothing came either, if it turns out to be caught up.
      partition.last_record = absl::FromUnixMillis(known.last_record_ms);
    }
  }

  // Partitions that the source has found since last asked. While no Poll is under way.
  void MeetPartitions() {
    MeetNames();
    while (partitions_.size() < names_->size()) MeetPartition((*names_)[partitions_.size()]);
  }

  // Reads a batch until it is full, its time is up, or nothing is left. Each worker takes a chunk from the source, projects it,
  // waits for its turn to have the fates of its records decided, and folds it: a chunk stays in one core's cache all the way.
  // `broken`: something threw, so that the batch is not whole. Else an error is the source's, and all before it is.
  absl::Status ReadBatch(absl::Time end, Commit& commit, bool& broken) {
    const absl::Time begin = absl::Now();
    if (options_.time == TimeKind::kProcessing) batch_time_ms_ = std::max({batch_time_ms_, job_watermark_, BatchTime(begin)});
    batch_records_ = 0;
    batch_bytes_ = 0;
    BatchBounds bounds(std::min(end, begin + options_.batch), end);
    std::mutex source_mutex, turn_mutex;
    std::condition_variable turn_changed;
    uint64_t turn = 0;  // the chunk whose fates are decided next; guarded by turn_mutex, as partitions_ and `commit`
    pool_.Run([&](int w) {
      Worker& worker = workers_[w];
      for (;;) {
        uint64_t ticket;
        absl::Time now;
        BatchClock clock{};
        {
          const std::lock_guard lock(source_mutex);
          bool got = false;
          const absl::Status read = Guarded("the source", [&] {
            got = NextChunk(bounds, worker.chunk, now);
            if (got) MeetNames();  // a partition may have appeared with this very chunk
          });
          if (!read.ok()) {
            bounds.status = read;
            broken = true;
          }
          if (!read.ok() || !got) return;
          ticket = bounds.chunks++;  // only for a chunk that will have its turn: others wait for it
          if (options_.time == TimeKind::kProcessing) clock = {.quarantine_after_ms = kForever, .fixed_time_ms = batch_time_ms_};
          else clock.quarantine_after_ms = SaturatingAdd(absl::ToUnixMillis(now), options_.max_future_ms);
          worker.projected.partitions = names_;
        }
        absl::Status failed = Guarded("the projection", [&] {
          worker.projected.Clear();
          worker.projector->Project(worker.chunk, clock, worker.projected);
        });
        {
          std::unique_lock lock(turn_mutex);
          turn_changed.wait(lock, [&] { return turn == ticket; });
          if (failed.ok()) failed = Guarded("the engine", [&] { DecideFates(worker.projected, now, commit); });
          ++turn;
        }
        if (pool_.size() > 1) turn_changed.notify_all();
        for (size_t s = 0; failed.ok() && s < stages_.size() && !worker.projected.rows.empty(); ++s)
          failed = Guarded("operator " + operators_[s].name, [&] { stages_[s]->Fold(worker.projected, *deltas_[s][w]); });
        if (!failed.ok()) {
          const std::lock_guard lock(source_mutex);
          bounds.status = failed;
          broken = true;
          return;
        }
      }
    });
    MeetPartitions();
    if (batch_records_ > 0) idle_since_ = absl::Now();
    report_.bytes += static_cast<int64_t>(batch_bytes_);
    return bounds.status;
  }

  // Processing time: the beginning of the batch interval that holds `time`.
  int64_t BatchTime(absl::Time time) const {
    const int64_t batch_ms = absl::ToInt64Milliseconds(options_.batch);
    return FloorDiv(absl::ToUnixMillis(time), batch_ms) * batch_ms;
  }

  // Runs what may throw (an operator, or memory running out) on a worker's thread.
  template <class Fn>
  static absl::Status Guarded(std::string_view who, Fn&& fn) {
    try {
      fn();
      return absl::OkStatus();
    } catch (const std::bad_alloc&) {
      return absl::InternalError(fmt::format("out of memory in {}. Nothing of its batch was committed. Lower --batch-bytes, --max-memory or "
                                             "the number of keys, or give it more memory.", who));
    } catch (const std::exception& e) {
      return absl::InternalError(fmt::format("{} threw: {}. Nothing of its batch was committed.", who, e.what()));
    } catch (...) {
      return absl::InternalError(fmt::format("{} threw something that is no std::exception. Nothing of its batch was committed.", who));
    }
  }

  struct BatchBounds {
    BatchBounds(absl::Time batch_end, absl::Time run_end) : deadline(batch_end), end(run_end) {}
    absl::Time deadline;  // of the batch; from its first record on
    absl::Time end;       // of the run
    bool full = false;
    uint64_t chunks = 0;
    absl::Status status;
  };

  // Fills `chunk`; false when the batch is over. Under the source's mutex.
  bool NextChunk(BatchBounds& bounds, Chunk& chunk, absl::Time& now) {
    for (;;) {
      int64_t records = options_.batch_records > 0 ? options_.batch_records - batch_records_ : INT64_MAX;
      if (options_.limit > 0) records = std::min(records, options_.limit - report_.counts.consumed - batch_records_);
      const size_t bytes = options_.batch_bytes > batch_bytes_ ? options_.batch_bytes - batch_bytes_ : 0;
      if (records <= 0 || bytes == 0 || stop_.load(std::memory_order_relaxed)) bounds.full = true;
      if (bounds.full || !bounds.status.ok()) return false;
      chunk.Clear();
      bounds.status = source_->Poll({.max_records = records, .max_bytes = bytes, .deadline = bounds.deadline}, chunk);
      if (!bounds.status.ok()) return false;
      now = absl::Now();
      if (chunk.records.empty()) {
        if (source_->ended() || now >= bounds.deadline) bounds.full = true;
        continue;
      }
      if (batch_records_ == 0) {
        bounds.deadline = std::min(bounds.end, now + options_.batch);
        if (options_.time == TimeKind::kProcessing) {
          // The batch is that of its first record's interval, and ends with it.
          batch_time_ms_ = std::max(batch_time_ms_, BatchTime(now));
          bounds.deadline = std::min(bounds.deadline, absl::FromUnixMillis(BatchTime(now)) + options_.batch);
        }
      }
      if (now >= bounds.deadline) bounds.full = true;
      batch_records_ += static_cast<int64_t>(chunk.records.size());
      for (const RawRecord& r : chunk.records) batch_bytes_ += r.size;
      return true;
    }
  }

  // Names are read by workers while a Poll may find partitions: a longer list is a new list.
  void MeetNames() {
    const auto& states = source_->partitions();
    if (names_->size() == states.size()) return;
    auto longer = std::make_shared<std::vector<PartitionName>>(*names_);
    for (size_t i = longer->size(); i < states.size(); ++i)
      longer->push_back({states[i].position.topic, states[i].position.partition});
    names_ = std::move(longer);
  }

  // Lateness is decided here, in offset order for each partition: the one part of the way that cannot be split.
  void DecideFates(ProjectedChunk& chunk, absl::Time now, Commit& commit) {
    const bool processing = options_.time == TimeKind::kProcessing;
    const std::vector<PartitionName>& names = *chunk.partitions;
    while (partitions_.size() < names.size()) MeetPartition(names[partitions_.size()]);
    int64_t pane = 0, pane_start = 0, pane_end = INT64_MIN;  // of the last record
    for (uint32_t row = 0; row < chunk.records.size(); ++row) {
      const ProjectedChunk::Record& record = chunk.records[row];
      Partition& partition = partitions_[record.partition];
      FateCounts& counts = partition.counts;
      partition.changed = true;
      partition.last_record = now;
      ++counts.consumed;
      switch (record.kind) {
        case RecordKind::kInvalid: ++counts.invalid; continue;
        case RecordKind::kNoTime: ++counts.skipped; continue;
        case RecordKind::kQuarantined: ++counts.quarantined; continue;
        case RecordKind::kTimed: break;
      }
      const int64_t time = record.time_ms;
      if (time < pane_start || time >= pane_end) {
        pane = options_.window.PaneOf(time);
        pane_start = options_.window.PaneStart(pane);
        pane_end = options_.window.PaneEnd(pane);
      }
      if (!processing) {
        const int64_t own = partition.tracker.watermark();
        partition.tracker.Observe(time);
        const int64_t accepted_until = SaturatingAdd(pane_end, options_.allowed_lateness_ms);
        if (accepted_until <= std::max(own, job_watermark_)) {
          ++counts.late;
          const PartitionName& name = names[record.partition];
          KeepNewest(commit.late);
          commit.late.push_back({name.topic, name.partition, record.offset, time, accepted_until > own});
          continue;
        }
      }
      if (record.filtered) {
        ++counts.filtered;
        continue;
      }
      ++counts.aggregated;
      chunk.rows.push_back(row);
      chunk.panes.push_back(pane);
    }
    for (ProjectedChunk::Reject& reject : chunk.rejects) {
      const ProjectedChunk::Record& record = chunk.records[reject.row];
      const PartitionName& name = names[record.partition];
      NoteFirstOfKind(name, record.offset, reject.reason);
      KeepNewest(commit.dead_letters);
      commit.dead_letters.push_back({name.topic, name.partition, record.offset, std::move(reject.reason), std::move(reject.payload)});
    }
  }

  // The results file keeps the newest kKeptRejects only; so does a batch, give or take.
  template <class T>
  static void KeepNewest(std::vector<T>& rejects) {
    if (rejects.size() >= 2 * kKeptRejects) rejects.erase(rejects.begin(), rejects.end() - kKeptRejects);
  }

  // The first dead letter of each kind is worth a line; the others are counted.
  void NoteFirstOfKind(const PartitionName& name, int64_t offset, const std::string& reason) {
    constexpr size_t kKinds = 16;
    const std::string kind = reason.substr(0, reason.find(" at byte"));
    if (on_notice_ == nullptr || noted_.size() >= kKinds || !noted_.insert(kind).second) return;
    on_notice_(fmt::format("topic \"{}\" partition {} offset {}: {}; a dead letter, as all more of this kind{}.", name.topic, name.partition,
                           offset, reason, results_ != nullptr ? " (table weir_dead_letters)" : ""));
  }

  // The job's watermark: the least of the active partitions'; when none is active, on with the wall clock (contract,
  // section 3). Never back.
  void AdvanceWatermark() {
    if (options_.time == TimeKind::kProcessing) {
      job_watermark_ = std::max(job_watermark_, batch_time_ms_);
      return;
    }
    const auto& states = source_->partitions();
    const absl::Time now = absl::Now();
    const absl::Duration timeout =
        options_.idle_timeout_ms == kForever ? absl::InfiniteDuration() : absl::Milliseconds(options_.idle_timeout_ms);
    int64_t least = INT64_MAX, silent = INT64_MAX;
    for (size_t i = 0; i < partitions_.size(); ++i) {
      Partition& partition = partitions_[i];
      if (!states[i].reachable) partition.last_record = idle_since_ = now;  // silence of a broker is not silence of the partition
      const bool empty = partition.counts.consumed == 0;
      const bool at_end = (states[i].caught_up && states[i].reachable) || states[i].ended;
      const bool active = source_->may_idle() ? !at_end || (!empty && now - partition.last_record < timeout) : !at_end || !empty;
      if (active) least = std::min(least, partition.tracker.watermark());
      const int64_t when_silent = partition.tracker.SilentWatermark();
      if (when_silent != kNoWatermark) silent = std::min(silent, when_silent);
    }
    if (least != INT64_MAX) {
      job_watermark_ = std::max(job_watermark_, least);
      idle_from_ = kNoWatermark;
      return;
    }
    const bool bounded = options_.limit > 0 || options_.run_for != absl::InfiniteDuration();
    if (bounded || !source_->advances_when_idle() || options_.watermark_delay_ms == kForever) return;
    if (idle_from_ == kNoWatermark) {
      if (silent == INT64_MAX && job_watermark_ == kNoWatermark) return;  // nothing has come yet
      idle_from_ = silent == INT64_MAX ? job_watermark_ : std::max(job_watermark_, silent);
    }
    const int64_t on = SaturatingAdd(idle_from_, absl::ToInt64Milliseconds(now - idle_since_));
    const int64_t bound = WallMs() - options_.watermark_delay_ms;
    job_watermark_ = std::max(job_watermark_, std::min(on, bound));
  }

  // Brings what the workers folded into the panes, and closes the windows that the watermark has passed: a stage on each
  // worker at a time, since stages share nothing.
  absl::Status MergeAndClose(bool final, Commit& commit) {
    std::atomic<size_t> next{0};
    std::mutex mutex;
    absl::Status status;  // guarded by mutex
    const auto task = [&](int) {
      for (size_t s; (s = next.fetch_add(1)) < stages_.size();) {
        const absl::Status done = Guarded("operator " + operators_[s].name, [&] { MergeAndClose(s, final); });
        const std::lock_guard lock(mutex);
        status.Update(done);
      }
    };
    if (stages_.size() == 1) task(0);
    else pool_.Run(task);
    WEIR_RETURN_IF_ERROR(status);
    for (uint32_t s = 0; s < stages_.size(); ++s) {
      StageOutput& out = outputs_[s];
      for (PaneBlob& blob : out.blobs) commit.state.push_back({s, blob.pane, blob.replace, std::move(blob.bytes)});
      for (ClosedWindow& window : out.windows) {
        ++report_.windows;
        report_.rows += static_cast<int64_t>(window.rows.size());
        commit.windows.push_back(std::move(window));
      }
      out.blobs.clear();
      out.windows.clear();
    }
    commit.job_watermark_ms = job_watermark_;
    commit.release_before_pane = FirstNeededPane();
    return absl::OkStatus();
  }

  void MergeAndClose(size_t s, bool final) {
    StageOutput& out = outputs_[s];
    stages_[s]->Merge(deltas_[s], out.blobs);
    out.closed.clear();
    stages_[s]->Close(job_watermark_, final, out.closed, out.blobs);
    for (StageWindow& window : out.closed) {
      const int64_t keys = static_cast<int64_t>(window.rows.size());
      if (options_.top > 0) window.rows.KeepTop(options_.top);
      out.windows.push_back({static_cast<uint32_t>(s), window.end_ms - options_.window.window_ms, window.end_ms, window.revision,
                             window.records, keys, std::move(window.rows)});
    }
    stages_[s]->Release(job_watermark_);
  }

  // Panes below it have all their windows closed for good.
  int64_t FirstNeededPane() const {
    if (job_watermark_ == kNoWatermark) return INT64_MIN;
    // The last window of a pane ends at floor(start / slide) * slide + window; it is done at watermark - lateness.
    const int64_t done = SaturatingAdd(job_watermark_, -options_.allowed_lateness_ms) - options_.window.window_ms;
    const int64_t slide = options_.window.slide_ms;
    return FloorDiv((FloorDiv(done, slide) + 1) * slide, options_.window.pane_ms());
  }

  // What the source has passed over since the last commit goes into this one, with the positions behind it.
  std::vector<int64_t> DescribeGaps(Commit& commit) {
    std::vector<int64_t> declared(partitions_.size());
    for (DataGap& gap : source_->TakeGaps()) {
      WEIR_CHECK(gap.partition < partitions_.size() && gap.first_offset <= gap.next_offset);
      const PartitionName& name = (*names_)[gap.partition];
      declared[gap.partition] += gap.next_offset - gap.first_offset;
      partitions_[gap.partition].changed = true;
      if (on_notice_ != nullptr)
        on_notice_(gap.first_offset < gap.next_offset
                       ? fmt::format("topic \"{}\" partition {}: offsets {}..{} are skipped: {}.", name.topic, name.partition, gap.first_offset,
                                     gap.next_offset - 1, gap.reason)
                       : fmt::format("topic \"{}\" partition {}, read up to offset {}: {}.", name.topic, name.partition, gap.first_offset,
                                     gap.reason));
      commit.gaps.push_back({name.topic, name.partition, gap.first_offset, gap.next_offset, std::move(gap.reason)});
    }
    return declared;
  }

  void DescribePartitions(Commit& commit) {
    const auto& states = source_->partitions();
    const std::vector<int64_t> declared = DescribeGaps(commit);
    for (size_t i = 0; i < partitions_.size(); ++i) {
      Partition& partition = partitions_[i];
      const PartitionPosition& position = states[i].position;
      if (position.next_offset != partition.committed_next) partition.changed = true;
      if (!partition.changed) continue;
      FateCounts& c = partition.counts;
      // Conservation: every record has one fate, and every offset is a record or a declared gap.
      const int64_t gap = position.next_offset - position.first_offset - c.consumed;
      WEIR_CHECK(gap - c.gap >= declared[i] && c.gap >= 0);
      c.gap = gap;
      WEIR_CHECK(c.consumed == c.aggregated + c.filtered + c.skipped + c.late + c.invalid + c.quarantined + c.duplicates);
      commit.partitions.push_back({position, c, partition.tracker.watermark(), partition.tracker.Save(),
                                   absl::ToUnixMillis(partition.last_record)});
      partition.committed_next = position.next_offset;
      partition.changed = false;
    }
  }

  // Tells the source what is committed, and the user what the source has to say.
  void PassOn(CommitQueue& queue) {
    for (const std::unique_ptr<Commit>& commit : queue.TakeWritten()) {
      std::vector<PartitionPosition> positions;
      for (PartitionProgress& p : commit->partitions) positions.push_back(std::move(p.position));
      if (!positions.empty()) source_->Committed(positions);
    }
    for (const std::string& notice : source_->TakeNotices())
      if (on_notice_ != nullptr) on_notice_(notice);
  }

  void Report() {
    const auto& states = source_->partitions();
    FateCounts sum;
    int64_t lag = 0;
    bool known = !states.empty();
    for (size_t i = 0; i < partitions_.size(); ++i) {
      Add(partitions_[i].counts, sum);
      if (states[i].end_offset < 0) known = false;
      else lag += std::max<int64_t>(0, states[i].end_offset - states[i].position.next_offset);
    }
    Add(base_, sum, -1);
    report_.counts = sum;
    report_.lag = known ? lag : -1;
    report_.watermark_ms = job_watermark_;
    report_.elapsed = absl::Now() - started_;
    if (on_batch_ != nullptr) on_batch_(report_);
  }

  const JobOptions options_;
  const std::vector<Operator> operators_;
  const std::unique_ptr<Source> source_;
  const std::unique_ptr<ResultsFile> results_;
  const std::vector<std::unique_ptr<Sink>> sinks_;
  const std::function<void(const JobReport&)> on_batch_;
  const std::function<void(const std::string&)> on_notice_;
  std::atomic<bool> stop_{false};  // set by any thread

  // Engine's thread, but for what ReadBatch lends to the workers.
  std::vector<std::unique_ptr<WindowStage>> stages_;
  std::vector<Worker> workers_;
  std::vector<std::vector<std::unique_ptr<StageDelta>>> deltas_;  // by stage, by worker
  std::vector<StageOutput> outputs_;  // by stage
  std::vector<PartitionProgress> restored_;
  std::vector<Partition> partitions_;   // by PartitionIndex, as *names_
  std::shared_ptr<const std::vector<PartitionName>> names_ = std::make_shared<std::vector<PartitionName>>();
  int64_t batch_records_ = 0;
  size_t batch_bytes_ = 0;
  int64_t batch_time_ms_ = INT64_MIN;   // processing time
  int64_t job_watermark_ = kNoWatermark;
  int64_t idle_from_ = kNoWatermark;    // where the watermark stood when all fell silent
  absl::Time idle_since_;               // when the last record came
  absl::Time started_;
  std::set<std::string> noted_;         // kinds of dead letters that were told
  JobReport report_;
  FateCounts base_;                     // what earlier runs had counted
  WorkerPool pool_;  // last: its threads end before what they use
};

Job::Job(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Job::~Job() = default;

absl::StatusOr<std::unique_ptr<Job>> Job::Create(Parts parts) {
  auto impl = std::make_unique<Impl>(std::move(parts));
  WEIR_RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Job>(new Job(std::move(impl)));
}

absl::Status Job::Run() { return impl_->Run(); }
void Job::Stop() { impl_->Stop(); }
const JobReport& Job::report() const { return impl_->report(); }

}  // namespace weir
