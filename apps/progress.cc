#include "apps/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "absl/time/clock.h"
#include "apps/print.h"
#include "engine/sink/text.h"

namespace weir {
namespace {

std::string Bytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  for (; bytes >= 1000 && unit < 4; ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : 1, kUnits[unit]);
}

std::string Short(double number) {
  if (number >= 1e6) return fmt::format("{:.1f} M", number / 1e6);
  if (number >= 1e4) return fmt::format("{:.0f} k", number / 1e3);
  return fmt::format("{:.0f}", number);
}

size_t TerminalColumns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col : 100;
}

}  // namespace

Progress::Progress(const RunFlags& flags) : terminal_(::isatty(STDERR_FILENO) == 1), last_(absl::Now()) {
  line_ = flags.progress == RunFlags::Progress::kAlways ||
          (flags.progress == RunFlags::Progress::kAuto && terminal_ && !flags.quiet);
}

std::string Progress::StatusLine(const JobReport& r, double rate) {
  std::string line = fmt::format("{}/s", Short(rate));
  if (r.lag >= 0) line += fmt::format(" · lag {}", WithThousands(r.lag));
  line += fmt::format(" · watermark {}", r.watermark_ms == kNoWatermark ? "none yet" : ReadableTime(r.watermark_ms));
  line += fmt::format(" · late {} · invalid {}", WithThousands(r.counts.late), WithThousands(r.counts.invalid));
  line += fmt::format(" · batch {:.0f} ms · {} records, {} windows", absl::ToDoubleMilliseconds(r.batch_time),
                      WithThousands(r.counts.consumed), WithThousands(r.windows));
  return line;
}

void Progress::Update(const JobReport& report) {
  if (!line_) return;
  const absl::Time now = absl::Now();
  const absl::Duration since = now - last_;
  if (since < (terminal_ ? absl::Milliseconds(250) : absl::Seconds(1))) return;
  const double rate = static_cast<double>(report.counts.consumed - last_records_) / absl::ToDoubleSeconds(since);
  last_ = now;
  last_records_ = report.counts.consumed;
  const std::string line = StatusLine(report, rate);
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;  // rows are being written
  if (terminal_) PrintTo(stderr, fmt::format("\r{}\x1b[K", Truncated(line, TerminalColumns() - 1)));
  else PrintTo(stderr, fmt::format("{}\n", line));
  shown_ = terminal_;
}

void Progress::Note(const std::string& text) {
  const std::lock_guard lock(mutex_);
  PrintTo(stderr, fmt::format("{}weir: {}\n", shown_ ? "\r\x1b[K" : "", Printable(text)));
  shown_ = false;
}

std::unique_lock<std::mutex> Progress::GiveWay() {
  Clear();
  return std::unique_lock(mutex_);
}

void Progress::Clear() {
  const std::lock_guard lock(mutex_);
  if (shown_) PrintTo(stderr, "\r\x1b[K");
  shown_ = false;
}

std::string Progress::Summary(const JobReport& r, const RunFlags& flags, bool stopped) {
  const double seconds = absl::ToDoubleSeconds(r.elapsed);
  const FateCounts& c = r.counts;
  std::string text = fmt::format("{} records, {}, in {:.2f} s", WithThousands(c.consumed), Bytes(static_cast<double>(r.bytes)), seconds);
  if (seconds > 0.01)
    text += fmt::format(" ({} records/s, {}/s)", Short(static_cast<double>(c.consumed) / seconds), Bytes(static_cast<double>(r.bytes) / seconds));
  text += fmt::format("\n{} aggregated", WithThousands(c.aggregated));
  const auto add = [&](int64_t count, std::string_view name) {
    if (count != 0) text += fmt::format(", {} {}", WithThousands(count), name);
  };
  add(c.filtered, "filtered");
  add(c.skipped, "skipped (no event time)");
  add(c.late, "late");
  add(c.invalid, "invalid");
  add(c.quarantined, "quarantined");
  add(c.gap, "offsets without a record");
  text += fmt::format("\n{} windows closed, {} rows; watermark {}\n", WithThousands(r.windows), WithThousands(r.rows),
                      r.watermark_ms == kNoWatermark ? "none" : ReadableTime(r.watermark_ms) + " UTC");
  if (stopped) text += flags.output.empty() ? "stopped by a signal\n" : "stopped by a signal; the same command goes on from here\n";
  if (!flags.output.empty()) text += fmt::format("results: weir query {}\n", Printable(flags.output));
  return text;
}

}  // namespace weir
