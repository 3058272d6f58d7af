// engine/source/file_source.h: newline-delimited records from files and stdin, plain, gzip or zstd.
//
// Each path is one partition: topic = the path as given, partition 0, offsets = the ordinals of its records.
// A record is a line without its LF or CRLF; lines of white space only are none; a UTF-8 byte order mark at
// the start is cut. A last line without LF is a record at the end of the input; in a followed file it waits
// for its LF.
//
// Cursor: where in the uncompressed stream the partition stands, and a checksum of the last record, which is
// read again when the job goes on: a file that was shortened or rewritten is noticed, a file that grew is not
// disturbed. With OnDataLoss::kSkip such a file, or the one that replaced a followed file, is read from its
// beginning; its records are counted on, and how many of the old one were lost is not known. What cannot be
// decoded, and a line that went on after it had been read, end the run all the same.
#ifndef WEIR_ENGINE_SOURCE_FILE_SOURCE_H_
#define WEIR_ENGINE_SOURCE_FILE_SOURCE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/record/chunk.h"
#include "engine/source/source.h"

namespace weir {

// A key is at most as long as its record, and SQLite takes 1,000,000,000 bytes.
inline constexpr size_t kMaxLineBytes = size_t{900} << 20;

struct FileSourceOptions {
  std::vector<std::string> paths = {};  // "-" is stdin
  bool follow = false;  // go on when regular files grow; stdin ends with its writer all the same
  absl::Duration poll_interval = absl::Milliseconds(100);  // how often a followed file is looked at
  size_t read_bytes = 128 * 1024;           // what a chunk is filled with, below Chunk::kTargetBytes
  size_t max_line_bytes = kMaxLineBytes;    // a longer line is refused (kNotFound: the input cannot be read)
  int stdin_fd = 0;                         // what "-" reads; stays open
  OnDataLoss on_data_loss = OnDataLoss::kFail;
};

class FileSource final : public Source {
 public:
  // Errors: kInvalidArgument (no path, a path twice, a useless size or interval). Opens nothing yet.
  static absl::StatusOr<std::unique_ptr<FileSource>> Create(FileSourceOptions options);
  ~FileSource() override;

  // Errors: as Source::Open. A compressed file that is gone on with is skipped through by the first Polls,
  // which find out then whether it was shortened or rewritten.
  absl::Status Open(const std::vector<PartitionPosition>& resume) override;
  // A chunk holds records of one file. After an error: it stays.
  absl::Status Poll(const PollLimits& limits, Chunk& chunk) override;
  const std::deque<PartitionState>& partitions() const override;
  std::vector<DataGap> TakeGaps() override;
  bool ended() const override;
  bool bounded() const override { return !follows_files_; }
  bool may_idle() const override;
  bool advances_when_idle() const override { return follows_files_; }
  void Interrupt() override;

  // For a progress percentage: sizes of the regular files, and the bytes (compressed, if they are) read of
  // them. 0 of 0 when there are pipes only. Thread: any, after Open.
  int64_t bytes_total() const;
  int64_t bytes_read() const;

 private:
  class Input;  // one file or stream

  FileSource(FileSourceOptions options, int wake_fd);
  void Wait(absl::Time deadline);

  const FileSourceOptions options_;
  const bool follows_files_;  // at least one input never ends
  const int wake_fd_;         // eventfd; readable for good once interrupted
  std::atomic<bool> interrupted_{false};
  std::vector<std::unique_ptr<Input>> inputs_;
  size_t turn_ = 0;                            // whose chunk is next
  mutable std::deque<PartitionState> states_;  // brought up to date when asked for
};

}  // namespace weir

#endif  // WEIR_ENGINE_SOURCE_FILE_SOURCE_H_
