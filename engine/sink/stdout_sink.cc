#include "engine/sink/stdout_sink.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "fmt/format.h"

#include "engine/status_macros.h"

namespace weir {
namespace {

std::string ErrnoText(int error) { return std::generic_category().message(error); }

// Writes all of `bytes`. Returns 0 or the errno of the write that failed.
int WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      // Another process made the shared descriptor non-blocking.
      pollfd ready = {.fd = fd, .events = POLLOUT, .revents = 0};
      if (::poll(&ready, 1, -1) < 0 && errno != EINTR) return errno;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StdoutSink>> StdoutSink::Open(std::vector<OperatorColumns> operators,
                                                             const StdoutSinkOptions& options) {
  WEIR_ASSIGN_OR_RETURN(RowWriter writer, RowWriter::Make(std::move(operators), options.rows));
  return std::unique_ptr<StdoutSink>(new StdoutSink(std::move(writer), options));
}

bool StdoutSink::closed_by_reader() const { return error_ == EPIPE; }

std::vector<std::string> StdoutSink::TakeNotices() { return std::exchange(notices_, {}); }

absl::Status StdoutSink::Write(const Commit& commit) {
  for (const ClosedWindow& window : commit.windows) {
    if (closed()) break;  // formatting what nobody reads is wasted
    writer_.Write(window, buffer_, [this](std::string&) { Drain(); });
  }
  return Finish();
}

absl::Status StdoutSink::Close() {
  writer_.Begin(buffer_);
  return Finish();
}

void StdoutSink::Drain() {
  if (!closed()) error_ = WriteAll(options_.fd, buffer_);
  buffer_.clear();
}

absl::Status StdoutSink::Finish() {
  Drain();
  if (!closed() || std::exchange(reported_, true)) return absl::OkStatus();
  const std::string what = error_ == EPIPE ? "the reader of stdout went away"
                                           : fmt::format("stdout cannot be written: {}", ErrnoText(error_));
  if (!options_.required) {
    notices_.push_back(what + "; no more rows are printed, the results file is complete.");
    return absl::OkStatus();
  }
  const std::string message = what + ", and there is no results file. Add --output to keep the results.";
  if (error_ == EPIPE) return absl::UnavailableError(message);
  if (error_ == ENOSPC || error_ == EDQUOT || error_ == EFBIG) return absl::ResourceExhaustedError(message);
  return absl::UnknownError(message);
}

}  // namespace weir
