// apps/cmd_run.cc: `weir run`: flags -> job -> run -> exit code.
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <thread>

#include "apps/print.h"
#include "apps/job_setup.h"
#include "apps/progress.h"
#include "apps/run_job.h"
#include "apps/verbs.h"
#include "engine/sink/stdout_sink.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

// What ends a job: SIGINT, SIGTERM and SIGHUP, but for those that the parent had ignored (nohup).
sigset_t JobSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action;
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    sigaddset(&signals, signal);
  }
  return signals;
}

// Takes those signals for a job: the first asks it to stop (before anything was read, that is to end), the second ends the
// process at once, which costs nothing but reading the last batch again.
class SignalThread {
 public:
  SignalThread() : signals_(JobSignals()) {
    sigaddset(&signals_, SIGUSR1);  // ends the thread
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    thread_ = std::thread([this] { Loop(); });
  }
  ~SignalThread() {
    over_.store(true);
    pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  // While it lives, the first signal stops this job. It must end before the job does.
  class Watch {
   public:
    Watch(SignalThread& signals, Job& job) : signals_(signals) { Set(&job, false); }
    ~Watch() { Set(nullptr, true); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    void Set(Job* job, bool ended) {
      const std::lock_guard<std::mutex> lock(signals_.mutex_);
      signals_.job_ = job;
      signals_.ended_ = ended;
    }
    SignalThread& signals_;
  };
  bool stopped() const { return stopped_.load(); }

 private:
  void Loop() {
    for (;;) {
      int signal = 0;
      if (sigwait(&signals_, &signal) != 0) continue;
      if (over_.load()) return;
      if (signal == SIGUSR1) continue;
      const std::lock_guard<std::mutex> lock(mutex_);  // the job stays until it has been told
      if (stopped_.exchange(true)) ::_exit(128 + signal);
      if (job_ == nullptr && !ended_) ::_exit(0);
      if (job_ != nullptr) job_->Stop();
    }
  }

  sigset_t signals_, before_;
  std::mutex mutex_;
  Job* job_ = nullptr;  // under mutex_
  bool ended_ = false;  // under mutex_: there was a job
  std::atomic<bool> stopped_{false}, over_{false};
  std::thread thread_;
};

class BesideProgress final : public Sink {
 public:
  BesideProgress(std::unique_ptr<Sink> sink, Progress& progress) : sink_(std::move(sink)), progress_(progress) {}
  absl::Status Write(const Commit& commit) override {
    if (commit.windows.empty()) return sink_->Write(commit);
    const auto hold = progress_.GiveWay();
    return sink_->Write(commit);
  }
  absl::Status Close() override { return sink_->Close(); }

 private:
  const std::unique_ptr<Sink> sink_;
  Progress& progress_;
};

bool ShowsTable(const RunFlags& flags) {
  return flags.row_format == RunFlags::Output::kTable ||
         (flags.row_format == RunFlags::Output::kAuto && ::isatty(STDOUT_FILENO) == 1);
}

absl::StatusOr<std::unique_ptr<StdoutSink>> MakeStdout(const RunFlags& flags, const std::vector<Operator>& operators) {
  StdoutSinkOptions options;
  options.rows.format = ShowsTable(flags)                                        ? RowFormat::kTable
                        : flags.row_format == RunFlags::Output::kCsv ? RowFormat::kCsv
                                                                     : RowFormat::kJsonl;
  options.rows.show = static_cast<size_t>(flags.show);
  options.rows.terminal = ::isatty(STDOUT_FILENO) == 1;
  const char* const no_color = std::getenv("NO_COLOR");
  options.rows.color = options.rows.terminal && (no_color == nullptr || *no_color == '\0');
  options.required = flags.output.empty();
  return StdoutSink::Open(OutputColumns(flags, operators), options);
}

absl::StatusOr<std::unique_ptr<ResultsFile>> OpenResults(const RunFlags& flags, const std::vector<Operator>& operators) {
  ResultsOptions options;
  options.path = flags.output;
  for (const OperatorColumns& columns : OutputColumns(flags, operators))
    options.tables.push_back({columns.table, columns.key, columns.value});
  options.job = DescribeJob(flags);
  options.reset = flags.reset;
  options.durability_full = flags.durability_full;
  return ResultsFile::Open(std::move(options));
}

}  // namespace

void BlockJobSignals() {
  const sigset_t signals = JobSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

absl::Status RunJob(const RunFlags& flags) {
  SignalThread signals;
  Job::Parts parts;
  WEIR_ASSIGN_OR_RETURN(parts.operators, MakeOperators(flags));
  WEIR_RETURN_IF_ERROR(CheckFields(flags, parts.operators));
  WEIR_ASSIGN_OR_RETURN(parts.options, MakeJobOptions(flags));
  WEIR_ASSIGN_OR_RETURN(const ColumnPlan plan, PlanColumns(parts.options, parts.operators));
  // Paths are looked at before anything is created.
  WEIR_RETURN_IF_ERROR(MakeProjectionPlan(plan.projection).status());
  WEIR_ASSIGN_OR_RETURN(parts.source, MakeSource(flags, plan));
  StdoutSink* out = nullptr;
  if (flags.row_format != RunFlags::Output::kNone) {
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<StdoutSink> sink, MakeStdout(flags, parts.operators));
    out = sink.get();
    parts.sinks.push_back(std::move(sink));
  }
  if (!flags.output.empty()) {
    WEIR_ASSIGN_OR_RETURN(parts.results, OpenResults(flags, parts.operators));
  }
  if (flags.verbose) {
    WEIR_ASSIGN_OR_RETURN(const std::string plan_text, ExplainJob(flags));
    PrintTo(stderr, plan_text);
  }
  Progress progress(flags);
  // Rows and the status line may share a terminal: the line gives way while rows are written.
  if (out != nullptr) parts.sinks.back() = std::make_unique<BesideProgress>(std::move(parts.sinks.back()), progress);
  parts.on_batch = [&progress](const JobReport& report) { progress.Update(report); };
  parts.on_notice = [&progress](const std::string& text) { progress.Note(text); };
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Job> job, Job::Create(std::move(parts)));
  const SignalThread::Watch watch(signals, *job);
  absl::Status status = job->Run();
  progress.Clear();
  if (out != nullptr) {
    for (const std::string& notice : out->TakeNotices()) progress.Note(notice);
    if (!status.ok() && out->closed_by_reader() && flags.output.empty()) status = absl::OkStatus();  // `| head` has seen enough
  }
  WEIR_RETURN_IF_ERROR(status);
  if (!flags.quiet) PrintTo(stderr, Progress::Summary(job->report(), flags, signals.stopped()));
  return absl::OkStatus();
}

int CmdRun(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<RunFlags> flags = ReadRunFlags(argc, argv, exit_code);
  if (!flags) return exit_code;
  const absl::Status status = RunJob(*flags);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace weir
