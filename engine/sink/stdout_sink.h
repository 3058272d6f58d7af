// engine/sink/stdout_sink.h: closed windows as text on a file descriptor.
//
// At least once: the engine writes here after the commit to the results file, so that a crash between the two
// prints the windows of the last commit again.
#ifndef WEIR_ENGINE_SINK_STDOUT_SINK_H_
#define WEIR_ENGINE_SINK_STDOUT_SINK_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/sink/row_writer.h"
#include "engine/sink/sink.h"

namespace weir {

struct StdoutSinkOptions {
  RowWriterOptions rows;
  int fd = 1;             // not owned; may be non-blocking
  bool required = false;  // there is no results file: rows that cannot be written end the job
};

// When the descriptor takes no more (the reader went away, the disk is full), the sink is closed: it discards
// what comes. A job with a results file goes on, and TakeNotices says so once. Without one (`required`) the
// Write that failed, and it alone, returns an error: kUnavailable when the reader went away (which
// `closed_by_reader` tells from other reasons: `weir run … | head` is no failure), kResourceExhausted when
// the disk is full, else kUnknown.
// REQUIRES: SIGPIPE is ignored.
class StdoutSink final : public Sink {
 public:
  // Errors: kInvalidArgument (csv with several operators).
  static absl::StatusOr<std::unique_ptr<StdoutSink>> Open(std::vector<OperatorColumns> operators,
                                                          const StdoutSinkOptions& options);

  // Returns when all is written: a slow reader slows the job.
  absl::Status Write(const Commit& commit) override;
  // Writes the header of csv if no window ever came.
  absl::Status Close() override;

  bool closed() const { return error_ != 0; }
  bool closed_by_reader() const;
  // Things worth one line to the user, since last asked.
  std::vector<std::string> TakeNotices();

 private:
  StdoutSink(RowWriter writer, const StdoutSinkOptions& options)
      : writer_(std::move(writer)), options_(options) {}
  absl::Status Finish();  // writes the buffer; the outcome of this commit
  void Drain();           // buffer_ -> fd, or nowhere once closed

  RowWriter writer_;
  const StdoutSinkOptions options_;
  std::string buffer_;
  int error_ = 0;  // errno of the write that failed
  bool reported_ = false;
  std::vector<std::string> notices_;
};

}  // namespace weir

#endif  // WEIR_ENGINE_SINK_STDOUT_SINK_H_
