// apps/cmd_explain.cc: `weir explain`: the plan of what `weir run` with the same flags would do. Connects to nothing.
#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "apps/job_setup.h"
#include "apps/verbs.h"
#include "engine/sink/text.h"
#include "engine/source/kafka_config.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

std::string Names(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + Printable(item);
  return out;
}

}  // namespace

absl::StatusOr<std::string> ExplainJob(const RunFlags& flags) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<Operator> operators, MakeOperators(flags));
  WEIR_RETURN_IF_ERROR(CheckFields(flags, operators));
  WEIR_ASSIGN_OR_RETURN(const JobOptions options, MakeJobOptions(flags));
  WEIR_ASSIGN_OR_RETURN(const ColumnPlan plan, PlanColumns(options, operators));
  WEIR_RETURN_IF_ERROR(MakeProjectionPlan(plan.projection).status());
  WEIR_RETURN_IF_ERROR(MakeSource(flags, plan).status());
  std::string text;
  const auto line = [&text](std::string_view name, const std::string& value) { text += fmt::format("{:<12}{}\n", name, value); };
  if (flags.kafka()) {
    line("source", fmt::format("Kafka at {}, topics {}, from {}{}", Printable(flags.brokers), Names(flags.topics), flags.from.value_or("earliest"),
                               flags.to ? fmt::format(" to {}", *flags.to) : ", without end"));
    line("", fmt::format("prefetch up to {}; offsets in {}, told to group {} for lag tools", FormatSize(static_cast<int64_t>(QueueBytes(flags))),
                         flags.output.empty() ? "memory only" : Printable(flags.output), Printable(flags.group)));
  } else {
    line("source", fmt::format("{}{}", Names(flags.inputs), flags.follow ? ", followed as they grow" : ""));
  }
  for (size_t i = 0; i < plan.projection.columns.size(); ++i)
    line(i == 0 ? "reads" : "", Names(plan.projection.columns[i].paths));
  if (options.time == TimeKind::kEvent) {
    std::vector<std::string> paths;
    for (const TimeField& time : options.format.times) paths.push_back(time.path);
    line("event time", Names(paths) + (paths.size() > 1 ? " (the first usable one)" : ""));
  } else {
    line("event time", options.time == TimeKind::kKafka ? "the broker's time stamp" : "the batch's (processing time)");
  }
  const WindowSpec w = options.window;
  line("windows", fmt::format("{} every {}: panes of {}, {} in each window, each pane in up to {}", FormatDuration(w.window_ms), FormatDuration(w.slide_ms),
                              FormatDuration(w.pane_ms()), w.window_ms / w.pane_ms(), (w.window_ms + w.slide_ms - 1) / w.slide_ms));
  if (options.time != TimeKind::kProcessing)
    line("watermark", fmt::format("per partition: greatest time - {}; a leap over {} needs 16 records; late after + {}", FormatDuration(options.watermark_delay_ms),
                                  FormatDuration(options.max_jump_ms), FormatDuration(options.allowed_lateness_ms)));
  for (size_t i = 0; i < operators.size(); ++i)
    line(i == 0 ? "operators" : "", fmt::format("{}: {}", operators[i].name, operators[i].aggregate));
  line("batches", fmt::format("{} or {}{}; {} worker{}", FormatDuration(flags.batch_ms), FormatSize(static_cast<int64_t>(options.batch_bytes)),
                              options.batch_records > 0 ? fmt::format(" or {} records", options.batch_records) : "", options.workers,
                              options.workers == 1 ? "" : "s"));
  if (options.top > 0) line("keeps", fmt::format("the {} greatest keys of each window", options.top));
  std::string_view label = "rows";
  for (const OperatorColumns& c : OutputColumns(flags, operators))
    line(std::exchange(label, ""), fmt::format("{}(window_start, window_end, {}, {})", c.table, c.key, c.value));
  line("results", flags.output.empty() ? "not kept (no --output)" : fmt::format("{}: rows, offsets and state in one transaction a batch", Printable(flags.output)));
  return text;
}

int CmdExplain(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<RunFlags> flags = ReadRunFlags(argc, argv, exit_code);
  if (!flags) return exit_code;
  const absl::StatusOr<std::string> text = ExplainJob(*flags);
  if (!text.ok()) return Fail(text.status());
  return PrintAll(*text);
}

}  // namespace weir
