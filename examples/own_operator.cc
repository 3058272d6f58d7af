// examples/own_operator.cc: an operator of one's own, from NDJSON lines on stdin to rows on stdout.
//
//   own_operator < examples/own_operator.ndjson
//
// The input is the log of a web server, {"time":"2024-05-01T12:00:03Z","host":"a","bytes":512}. Which host sent how many bytes
// in the last minute, told every 30 seconds?
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/runtime/job.h"
#include "engine/runtime/operator.h"
#include "engine/sink/stdout_sink.h"
#include "engine/source/file_source.h"

namespace {

// The whole operator: what it reads, how rows are keyed, how values are folded. The engine owns the rest.
weir::Operator BytesByHost() {
  return weir::Define("bytes_by_host", "Bytes that each host sent")
      .Reads(weir::Text("host"), weir::Int("bytes"))
      .Key("host")
      .Sum("bytes")
      .Map([](const auto& batch, auto& emit) {
        for (const auto& row : batch) {
          const std::string_view host = row.template get<0>();
          const auto bytes = row.template get<1>();
          if (!host.empty() && bytes) emit(row, host, *bytes);
        }
      });
}

absl::Status Run() {
  weir::Job::Parts parts;
  parts.operators.push_back(BytesByHost());

  // Formats are data: where a field is found, and which one holds the event time.
  parts.options.format = {.name = "access-log",
                          .fields = {{"host", {"host"}}, {"bytes", {"response.bytes", "bytes"}}},
                          .times = {{"time", weir::TimeEncoding::kIso}}};
  parts.options.window = {.window_ms = 60'000, .slide_ms = 30'000};
  parts.options.watermark_delay_ms = 5'000;  // lines may be this far out of order

  auto source = weir::FileSource::Create({.paths = {"-"}});
  if (!source.ok()) return source.status();
  parts.source = *std::move(source);

  weir::StdoutSinkOptions out;
  out.rows.format = weir::RowFormat::kCsv;
  out.required = true;
  auto sink = weir::StdoutSink::Open({{.table = "bytes_by_host", .key = "host", .value = "bytes"}}, out);
  if (!sink.ok()) return sink.status();
  parts.sinks.push_back(*std::move(sink));

  auto job = weir::Job::Create(std::move(parts));
  if (!job.ok()) return job.status();
  if (const absl::Status status = (*job)->Run(); !status.ok()) return status;

  // Nothing is lost silently: what was not counted is here.
  const weir::FateCounts& counts = (*job)->report().counts;
  std::fprintf(stderr, "%lld lines: %lld counted, %lld late, %lld without a time, %lld no JSON\n",
               static_cast<long long>(counts.consumed), static_cast<long long>(counts.aggregated),
               static_cast<long long>(counts.late), static_cast<long long>(counts.skipped),
               static_cast<long long>(counts.invalid));
  return absl::OkStatus();
}

}  // namespace

int main() {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of the sink, not the end of the process
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
