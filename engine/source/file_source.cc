#include "engine/source/file_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "engine/source/decompress.h"
#include "engine/status_macros.h"

namespace weir {
namespace {

constexpr std::string_view kStdin = "-";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr size_t kRawBytes = 128 * 1024;        // compressed input, and output that is skipped
constexpr size_t kKeptTailBytes = 1024 * 1024;  // a tail buffer that grew beyond this is given back
constexpr size_t kCarriedTailBytes =
    128 * 1024;  // a longer unfinished line is no longer copied to each next chunk

// What a commit stores of a file. Positions count uncompressed bytes.
struct Cursor {
  int64_t position = 0;    // the next byte to read
  int64_t last_begin = 0;  // the last record, with its line end
  int64_t last_size = 0;   // 0: no record yet
  uint32_t last_crc = 0;
  bool unterminated = false;  // it had no LF
  int64_t file_size = 0;      // on disk, when last looked
  Compression compression = Compression::kNone;
};

constexpr std::string_view kCursorVersion = "file1";

std::string FormatCursor(const Cursor& c) {
  return fmt::format("{} {} {} {} {} {} {} {}", kCursorVersion, c.position, c.last_begin, c.last_size,
                     c.last_crc, c.unterminated ? 1 : 0, c.file_size, static_cast<int>(c.compression));
}

std::optional<Cursor> ParseCursor(std::string_view text) {
  if (text.substr(0, kCursorVersion.size()) != kCursorVersion) return std::nullopt;
  text.remove_prefix(kCursorVersion.size());
  int64_t values[7];
  for (int64_t& value : values) {
    if (text.empty() || text.front() != ' ') return std::nullopt;
    text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || value < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  const Cursor c{.position = values[0],
                 .last_begin = values[1],
                 .last_size = values[2],
                 .last_crc = static_cast<uint32_t>(values[3]),
                 .unterminated = values[4] != 0,
                 .file_size = values[5],
                 .compression = static_cast<Compression>(values[6])};
  const bool sound = text.empty() && values[3] <= UINT32_MAX && values[6] <= 2 &&
                     c.last_begin <= c.position && c.last_size <= c.position - c.last_begin;
  return sound ? std::optional<Cursor>(c) : std::nullopt;
}

uint32_t Crc(uint32_t crc, std::string_view bytes) {
  return static_cast<uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool IsBlank(std::string_view text) { return std::all_of(text.begin(), text.end(), IsSpace); }

// A path as it stands in a message, whose lines are its own. Other control characters are made visible where it is printed.
std::string OneLine(std::string_view path) {
  std::string line;
  for (const char c : path) c == '\n' ? line.append("\\n") : line.append(1, c);
  return line;
}

ssize_t ReadAgain(int fd, char* to, size_t room) {
  ssize_t n;
  do n = read(fd, to, room);
  while (n < 0 && errno == EINTR);
  return n;
}

ssize_t ReadAt(int fd, char* to, size_t room, int64_t position) {
  ssize_t n;
  do n = pread(fd, to, room, position);
  while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

// The bytes of one input and the lines in them.
class FileSource::Input {
 public:
  Input(std::string path, const FileSourceOptions& options, const std::atomic<bool>& stop)
      : path_(std::move(path)), shown_(OneLine(path_)), options_(options), stop_(stop) {}
  ~Input() {
    if (owned_) close(fd_);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  // `resume`: null for a partition that the results do not know.
  absl::Status Open(const PartitionPosition* resume);
  // Fills an empty chunk, without waiting for bytes that are not there.
  absl::Status Read(const PollLimits& limits, PartitionIndex index, Chunk& chunk);

  // Nothing can be had at the moment: at the end of a followed file, or of what was written to a pipe.
  bool dry() const { return (blocked_ || eof_) && !whole_lines_ && !has_head(); }
  bool ended() const { return at_end() && !whole_lines_; }
  bool stream() const { return stream_; }
  int fd() const { return fd_; }
  int64_t next_offset() const { return next_offset_; }
  int64_t first_offset() const { return first_offset_; }
  const std::string& cursor() const;
  // Why the file was begun anew since last asked, and what had been read then.
  std::vector<std::pair<int64_t, std::string>> TakeLosses() { return std::exchange(losses_, {}); }

  // Thread: any.
  int64_t bytes_total() const { return total_.load(std::memory_order_relaxed); }
  int64_t bytes_read() const { return regular_ ? raw_read_.load(std::memory_order_relaxed) : 0; }

 private:
  std::string_view tail() const { return std::string_view(tail_).substr(tail_begin_); }
  void SetTail(std::string_view rest);
  void DropTail(size_t bytes);

  void FillChunk(const PollLimits& limits, PartitionIndex index, Chunk& chunk);
  void GrowTail();
  size_t Scan(std::string_view data, size_t searched, const PollLimits& limits, PartitionIndex index,
              std::vector<RawRecord>& records);
  size_t PassLineEnd(std::string_view data, bool at_end);
  bool at_end() const { return eof_ && !followed_ && !has_head() && error_.ok(); }
  // A plain stream's first bytes, which were read to recognise it, still wait.
  bool has_head() const { return compression_ && !decoder_ && !undecoded_.empty(); }

  size_t ReadText(char* to, size_t room);
  size_t ReadRaw(char* to, size_t room);
  bool Recognise();
  absl::Status StartReading(Compression kind);
  absl::Status CheckLastRecord();
  void Skip();
  void LookAtFile();
  void CheckWhole();

  absl::Status OpenFile();
  absl::Status Resume(const PartitionPosition& position);
  absl::Status Lost(std::string_view what) const;
  absl::Status Changed(std::string what);
  absl::Status BeginAnew(absl::Status why);
  absl::Status ReadError() const;

  const std::string path_;
  const std::string shown_;  // in messages
  const FileSourceOptions& options_;
  const std::atomic<bool>& stop_;

  int fd_ = -1;
  bool owned_ = false;
  bool stream_ = false;   // pipe, terminal, or whatever stdin is: waited for, never read twice
  bool regular_ = false;  // has a size
  bool followed_ = false;
  bool replaced_ = false;  // another file is at the path now
  dev_t device_ = 0;
  ino_t inode_ = 0;

  std::optional<Compression> compression_;  // unknown until the first bytes are there
  std::unique_ptr<Decompressor> decoder_;
  std::string raw_;             // compressed bytes, or the first ones of a stream
  std::string_view undecoded_;  // in raw_
  int64_t skip_to_ = 0;         // compressed resume: where reading goes on
  int64_t skipped_ = 0;
  uint32_t skip_crc_ = 0;
  std::atomic<int64_t> raw_read_{0};  // bytes read from the descriptor
  std::atomic<int64_t> total_{0};

  std::string tail_;  // read but not handed over: an unfinished line, or what a limit left
  size_t tail_begin_ = 0;
  bool whole_lines_ = false;  // the tail may hold whole lines
  bool eof_ = false;          // the last read met the end
  bool blocked_ = false;      // the last read would have had to wait
  absl::Status error_;        // comes after all records that precede it
  absl::Time deadline_;       // of the Read under way

  Cursor at_;
  mutable std::string cursor_;  // of cursor_position_, written when asked for
  mutable int64_t cursor_position_ = -1;
  int64_t first_offset_ = 0;
  int64_t next_offset_ = 0;
  std::string changed_;  // what makes the file another one; empty: nothing
  std::vector<std::pair<int64_t, std::string>> losses_;
};

// ---- opening
// ------------------------------------------------------------------------------------------------------

absl::Status FileSource::Input::Lost(std::string_view what) const {
  return absl::DataLossError(fmt::format("input \"{}\" {}", shown_, what));
}

// The file is not the one that was read: what it holds can be read from its beginning, if that is wanted.
absl::Status FileSource::Input::Changed(std::string what) {
  const absl::Status lost = Lost(fmt::format(
      "{}. Put the file back; or start over with --reset; or have it read from its beginning with --on-data-loss skip",
      what));
  changed_ = std::move(what);
  return lost;
}

// With OnDataLoss::kSkip reads a file that was `Changed` from its beginning. Else the error stays.
absl::Status FileSource::Input::BeginAnew(absl::Status why) {
  if (why.ok() || changed_.empty() || options_.on_data_loss == OnDataLoss::kFail) return why;
  losses_.emplace_back(next_offset_, fmt::format("the file {}; it is read from its beginning", std::exchange(changed_, {})));
  if (owned_) close(fd_);
  owned_ = false;
  at_ = {};
  cursor_position_ = -1;
  compression_.reset();
  decoder_.reset();
  undecoded_ = {};
  skip_to_ = skipped_ = 0;
  skip_crc_ = 0;
  raw_read_.store(0, std::memory_order_relaxed);
  SetTail({});
  whole_lines_ = eof_ = blocked_ = replaced_ = false;
  error_ = absl::OkStatus();
  return OpenFile();
}

// Of errno.
absl::Status FileSource::Input::ReadError() const {
  return absl::NotFoundError(fmt::format("cannot read input \"{}\" near byte {}: {}", shown_, raw_read_.load(),
                                         std::strerror(errno)));
}

absl::Status FileSource::Input::OpenFile() {
  const auto refuse = [&](std::string_view why) {
    return absl::NotFoundError(fmt::format("cannot open input \"{}\": {}. Check --input", shown_, why));
  };
  if (path_ == kStdin) {
    fd_ = options_.stdin_fd;
  } else {
    do fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) return refuse(std::strerror(errno));
    owned_ = true;
  }
  struct stat info;
  if (fstat(fd_, &info) != 0) return refuse(std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return refuse("it is a directory");
  regular_ = S_ISREG(info.st_mode);
  stream_ = path_ == kStdin || !regular_;
  followed_ = options_.follow && !stream_;
  if (options_.follow && stream_ && path_ != kStdin) {
    return absl::InvalidArgumentError(fmt::format(
        "--follow needs regular files, and input \"{}\" is none: it ends with its writer. Leave --follow out",
        shown_));
  }
  device_ = info.st_dev;
  inode_ = info.st_ino;
  if (regular_) {
    at_.file_size = info.st_size;
    total_.store(info.st_size, std::memory_order_relaxed);
    posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  return absl::OkStatus();
}

absl::Status FileSource::Input::Open(const PartitionPosition* resume) {
  WEIR_RETURN_IF_ERROR(OpenFile());
  if (resume == nullptr) return absl::OkStatus();
  return BeginAnew(Resume(*resume));
}

absl::Status FileSource::Input::Resume(const PartitionPosition& position) {
  first_offset_ = position.first_offset;
  next_offset_ = position.next_offset;
  if (stream_) {
    if (next_offset_ == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(fmt::format(
        "{} cannot be gone on with: the results hold {} records of it, and what follows cannot be told "
        "from them. Use --reset, or another --output",
        path_ == kStdin ? "stdin" : fmt::format("input \"{}\", which is a pipe,", shown_), next_offset_));
  }
  if (next_offset_ == 0 && position.cursor.empty()) return absl::OkStatus();
  const std::optional<Cursor> cursor = ParseCursor(position.cursor);
  if (!cursor) {
    return absl::FailedPreconditionError(fmt::format(
        "cannot go on with input \"{}\": its position in the results, \"{}\", is not of this version "
        "({}). Use a newer weir, or start over with --reset",
        shown_, position.cursor, kCursorVersion));
  }
  const int64_t size_now = at_.file_size;
  at_ = *cursor;
  at_.file_size = size_now;
  Recognise();
  WEIR_RETURN_IF_ERROR(error_);
  const bool same_kind = !compression_ || *compression_ == cursor->compression;
  if (size_now < (same_kind ? cursor->file_size : 0) || (!decoder_ && size_now < cursor->position)) {
    return Changed(fmt::format("was shortened: {} bytes now, {} when its first {} records had been read",
                               size_now, std::max(cursor->file_size, cursor->position), next_offset_));
  }
  if (decoder_) {
    skip_to_ = cursor->position;
    return absl::OkStatus();
  }
  if (lseek(fd_, cursor->position, SEEK_SET) < 0) {
    return absl::NotFoundError(fmt::format("cannot read input \"{}\" from byte {}: {}", shown_,
                                           cursor->position, std::strerror(errno)));
  }
  raw_read_.store(cursor->position, std::memory_order_relaxed);
  WEIR_RETURN_IF_ERROR(CheckLastRecord());
  if (at_.unterminated) {
    // Told here already, before anything else is done; Scan looks again, for files that grow later.
    char next[2];
    const ssize_t n = ReadAt(fd_, next, sizeof next, cursor->position);
    PassLineEnd({next, n > 0 ? static_cast<size_t>(n) : 0}, false);
  }
  return error_;
}

// The last record is where it was, as it was.
absl::Status FileSource::Input::CheckLastRecord() {
  std::string piece(std::min<size_t>(static_cast<size_t>(at_.last_size), kRawBytes), '\0');
  uint32_t crc = 0;
  for (int64_t done = 0; done < at_.last_size;) {
    const size_t want = std::min<size_t>(piece.size(), static_cast<size_t>(at_.last_size - done));
    const ssize_t n = ReadAt(fd_, piece.data(), want, at_.last_begin + done);
    if (n < 0) return ReadError();
    if (n == 0) break;
    crc = Crc(crc, {piece.data(), static_cast<size_t>(n)});
    done += n;
  }
  if (crc == at_.last_crc) return absl::OkStatus();
  return Changed(fmt::format("was rewritten: record {} at byte {} is not the one that was read",
                             next_offset_ - 1, at_.last_begin));
}

// Finds out what kind of stream this is. False: not enough bytes yet, or an error.
bool FileSource::Input::Recognise() {
  if (compression_) return true;
  char head[4];
  size_t size = 0;
  if (stream_) {
    // What a pipe gave cannot be read again: it waits in raw_.
    raw_.resize(kRawBytes);
    const size_t had = undecoded_.size();
    undecoded_ = {raw_.data(), had + ReadRaw(raw_.data() + had, raw_.size() - had)};
    size = std::min(sizeof head, undecoded_.size());
    std::memcpy(head, undecoded_.data(), size);
  } else if (const ssize_t n = ReadAt(fd_, head, sizeof head, 0); n >= 0) {
    size = static_cast<size_t>(n);
  } else {
    error_ = ReadError();
  }
  if (!error_.ok()) return false;
  std::optional<Compression> kind = DetectCompression({head, size});
  if (!kind && followed_) {
    eof_ = true;
    LookAtFile();
    return false;
  }
  if (!kind && (eof_ || !stream_)) kind = Compression::kNone;  // too short to be anything else
  if (!kind) return false;
  error_ = StartReading(*kind);
  return error_.ok();
}

absl::Status FileSource::Input::StartReading(Compression kind) {
  if (kind != Compression::kNone) {
    WEIR_ASSIGN_OR_RETURN(decoder_, Decompressor::Create(kind));
    raw_.resize(kRawBytes);
  }
  compression_ = kind;
  return absl::OkStatus();
}

const std::string& FileSource::Input::cursor() const {
  // A stream has none: nothing could be done with it.
  if (stream_ || cursor_position_ == at_.position) return cursor_;
  Cursor c = at_;
  c.compression = compression_.value_or(Compression::kNone);
  c.file_size = std::max(c.file_size, raw_read_.load(std::memory_order_relaxed));
  cursor_ = FormatCursor(c);
  cursor_position_ = at_.position;
  return cursor_;
}

// ---- bytes
// --------------------------------------------------------------------------------------------------------

// Returns 0 and sets eof_, blocked_ or error_ when there is nothing (more) to be had now.
size_t FileSource::Input::ReadRaw(char* to, size_t room) {
  if (at_end()) return 0;  // a terminal would go on
  if (stream_) {
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, 0) <= 0) {
      blocked_ = true;
      return 0;
    }
  }
  const ssize_t n = ReadAgain(fd_, to, room);
  if (n < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      blocked_ = true;
    } else {
      error_ = ReadError();
    }
    return 0;
  }
  if (n == 0) {
    eof_ = true;
    if (followed_) LookAtFile();
    else if (regular_) CheckWhole();
    return 0;
  }
  blocked_ = false;
  if (std::exchange(eof_, false) && !decoder_ && at_.last_size > 0) {
    // The file grew. It may have been cut to nothing and written anew between two looks.
    error_ = CheckLastRecord();
    if (!error_.ok()) return 0;
  }
  raw_read_.fetch_add(n, std::memory_order_relaxed);
  return static_cast<size_t>(n);
}

// At the end of a file that is not followed: has all been read that was there when it was opened?
void FileSource::Input::CheckWhole() {
  const int64_t end = lseek(fd_, 0, SEEK_CUR);  // not raw_read_: stdin may be a file whose beginning another program read
  if (end < 0 || end >= at_.file_size) return;
  error_ = Lost(
      fmt::format("was shortened while it was read: it ends at byte {} now, and had {} when it was opened. The whole "
                  "lines before that were read. Put the file back, or start over with --reset",
                  end, at_.file_size));
}

// At the end of a followed file: is it still the file that it was?
void FileSource::Input::LookAtFile() {
  struct stat info;
  if (fstat(fd_, &info) != 0) return;
  const int64_t read = raw_read_.load(std::memory_order_relaxed);
  if (info.st_size < read) {
    error_ = Changed(fmt::format("was shortened while it was followed: {} bytes now, {} had been read",
                                 int64_t{info.st_size}, read));
    return;
  }
  at_.file_size = info.st_size;
  total_.store(info.st_size, std::memory_order_relaxed);
  if (info.st_size > read) return;
  if (replaced_) {
    // Seen at the look before: the old file has been read to its end since.
    error_ = Changed("was replaced by another file (log rotation?), after all whole lines of the old one were read");
    return;
  }
  replaced_ = stat(path_.c_str(), &info) == 0 && (info.st_dev != device_ || info.st_ino != inode_);
}

// Uncompressed bytes. Returns 0 as ReadRaw does, or when the deadline of a skip passed.
size_t FileSource::Input::ReadText(char* to, size_t room) {
  if (!Recognise()) return 0;
  if (!decoder_) {
    if (!has_head()) return ReadRaw(to, room);
    const size_t n = undecoded_.copy(to, room);
    undecoded_.remove_prefix(n);
    if (undecoded_.empty()) raw_ = {};
    return n;
  }
  if (skipped_ < skip_to_) {
    Skip();
    if (!error_.ok() || skipped_ < skip_to_) return 0;
  }
  for (;;) {
    const absl::StatusOr<size_t> n = decoder_->Decode(undecoded_, to, room);
    const int64_t byte = raw_read_.load(std::memory_order_relaxed) - static_cast<int64_t>(undecoded_.size());
    if (!n.ok()) {
      const std::string cause(n.status().message());
      error_ = Lost(fmt::format("is damaged near byte {}: {}: {}. The whole lines before it were read. Put a sound copy in its "
                                "place and run again", byte,
                                CompressionName(*compression_), cause));
      return 0;
    }
    if (*n > 0) return *n;
    const size_t got = ReadRaw(raw_.data(), raw_.size());
    undecoded_ = {raw_.data(), got};
    if (got > 0) continue;
    if (at_end() && !decoder_->at_boundary()) {
      error_ = Lost(fmt::format(
          "ends at byte {} inside a {} {}: it is incomplete. The whole lines before it were read. Put the whole file "
          "in its place and run again", byte,
          CompressionName(*compression_), compression_ == Compression::kGzip ? "member" : "frame"));
    }
    return 0;
  }
}

// Decodes what was read in an earlier run, and checks its last record on the way.
void FileSource::Input::Skip() {
  const int64_t goal = std::exchange(skip_to_, 0);  // ReadText reads plainly meanwhile
  std::string scratch(kRawBytes, '\0');
  while (skipped_ < goal) {
    const size_t room = static_cast<size_t>(std::min<int64_t>(kRawBytes, goal - skipped_));
    const size_t n = ReadText(scratch.data(), room);
    if (n == 0) {
      if (error_.ok() && eof_) {
        error_ = Changed(fmt::format("was shortened: {} uncompressed bytes now, {} had been read ({} records)",
                                     skipped_, goal, next_offset_));
      }
      break;
    }
    const int64_t from = std::max(at_.last_begin, skipped_);
    const int64_t to = std::min(at_.last_begin + at_.last_size, skipped_ + static_cast<int64_t>(n));
    if (from < to) {
      skip_crc_ = Crc(skip_crc_, {scratch.data() + (from - skipped_), static_cast<size_t>(to - from)});
    }
    skipped_ += static_cast<int64_t>(n);
    if (stop_.load(std::memory_order_relaxed) || absl::Now() >= deadline_) break;
  }
  skip_to_ = goal;
  if (skipped_ == goal && error_.ok() && skip_crc_ != at_.last_crc) {
    error_ = Changed(fmt::format("was rewritten: record {} at uncompressed byte {} is not the one that was read",
                                 next_offset_ - 1, at_.last_begin));
  }
}

// ---- lines
// --------------------------------------------------------------------------------------------------------

void FileSource::Input::SetTail(std::string_view rest) {
  if (rest.size() < kKeptTailBytes && tail_.capacity() > kKeptTailBytes) tail_ = {};
  tail_.assign(rest);
  tail_begin_ = 0;
}

void FileSource::Input::DropTail(size_t bytes) {
  tail_begin_ += bytes;
  if (tail_begin_ == tail_.size()) SetTail({});
}

absl::Status FileSource::Input::Read(const PollLimits& limits, PartitionIndex index, Chunk& chunk) {
  deadline_ = limits.deadline;
  blocked_ = false;
  for (;;) {
    if (whole_lines_) {
      const size_t used = Scan(tail(), 0, limits, index, chunk.records);
      if (!chunk.records.empty()) {
        chunk.Append(tail().substr(0, used));
        DropTail(used);
        whole_lines_ = !tail().empty();
        return absl::OkStatus();
      }
      DropTail(used);
      whole_lines_ = false;
    }
    if (!error_.ok()) {
      error_ = BeginAnew(error_);
      if (!error_.ok()) return error_;
    }
    if (at_end()) return absl::OkStatus();
    if (tail().size() < kCarriedTailBytes) {
      FillChunk(limits, index, chunk);
      if (!chunk.records.empty()) return absl::OkStatus();
    } else {
      GrowTail();
    }
    if (error_.ok() && tail().size() > options_.max_line_bytes && !whole_lines_) {
      error_ = absl::NotFoundError(
          fmt::format("cannot read input \"{}\": the line at byte {} is longer than {} bytes. "
                      "Is it newline-delimited JSON?",
                      shown_, at_.position, options_.max_line_bytes));
    }
    if (!error_.ok()) continue;  // after the records before it
    if (dry() || stop_.load(std::memory_order_relaxed) || absl::Now() >= limits.deadline)
      return absl::OkStatus();
  }
}

// The usual way: reads straight into the chunk, behind the line that the last chunk left unfinished.
void FileSource::Input::FillChunk(const PollLimits& limits, PartitionIndex index, Chunk& chunk) {
  chunk.Append(tail());
  const size_t searched = chunk.size();
  const size_t goal =
      searched < options_.read_bytes / 2 ? options_.read_bytes : searched + options_.read_bytes;
  SetTail({});
  while (chunk.size() < goal && error_.ok()) {
    const size_t room = goal - chunk.size();
    const size_t n = ReadText(chunk.Reserve(room), room);
    if (n == 0) break;
    chunk.Advance(n);
  }
  const std::string_view data(chunk.data(), chunk.size());
  const size_t used = Scan(data, searched, limits, index, chunk.records);
  SetTail(data.substr(used));
  const auto count = static_cast<int64_t>(chunk.records.size());
  whole_lines_ = used < data.size() && (at_end() || count == limits.max_records || used >= limits.max_bytes);

  // The chunk ends with its last record.
  std::vector<RawRecord> records = std::move(chunk.records);
  chunk.Clear();
  if (!records.empty()) chunk.Advance(used);
  chunk.records = std::move(records);
}

// A line too long to be carried from chunk to chunk grows where it is.
void FileSource::Input::GrowTail() {
  if (tail_begin_ > 0) tail_.erase(0, std::exchange(tail_begin_, 0));
  const size_t size = tail_.size();
  tail_.resize(size + options_.read_bytes);
  const size_t n = ReadText(tail_.data() + size, options_.read_bytes);
  tail_.resize(size + n);
  whole_lines_ = at_end() || std::memchr(tail_.data() + size, '\n', n) != nullptr;
}

// Finds records in `data`, which begins at at_.position and holds no LF in its first `searched` bytes;
// returns how many bytes are done with. Positions in the records count from the beginning of `data`.
size_t FileSource::Input::Scan(std::string_view data, size_t searched, const PollLimits& limits,
                               PartitionIndex index, std::vector<RawRecord>& records) {
  const char* const begin = data.data();
  const char* const end = begin + data.size();
  const bool last_ends_here = at_end();
  const char* line = begin;
  const char* search = begin + searched;
  std::string_view last;
  bool last_unterminated = false;
  size_t bytes = 0;

  if (at_.unterminated && !data.empty()) {
    line += PassLineEnd(data, last_ends_here);
    if (!error_.ok() || at_.unterminated) {
      at_.position += line - begin;
      return static_cast<size_t>(line - begin);
    }
    search = std::max(search, line);
  }
  while (line < end) {
    const char* lf = static_cast<const char*>(std::memchr(search, '\n', static_cast<size_t>(end - search)));
    if (lf == nullptr && !last_ends_here) break;
    const char* const text_end = lf != nullptr ? lf : end;
    const char* const next = lf != nullptr ? lf + 1 : end;
    std::string_view text(line, static_cast<size_t>(text_end - line));
    if (at_.position == 0 && line == begin && text.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
      text.remove_prefix(kByteOrderMark.size());
    }
    if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
    // Most lines begin with a brace: only the others are looked through.
    if (!text.empty() && !(IsSpace(text.front()) && IsBlank(text))) {
      records.push_back({.begin = static_cast<size_t>(text.data() - begin),
                         .size = static_cast<uint32_t>(text.size()),
                         .partition = index,
                         .offset = next_offset_++});
      last = {text.data(), static_cast<size_t>(next - text.data())};
      last_unterminated = lf == nullptr;
      bytes += text.size();
    }
    line = search = next;
    if (static_cast<int64_t>(records.size()) >= limits.max_records || bytes >= limits.max_bytes) break;
  }
  if (!last.empty()) {
    at_.last_begin = at_.position + (last.data() - begin);
    at_.last_size = static_cast<int64_t>(last.size());
    at_.last_crc = Crc(0, last);
    at_.unterminated = last_unterminated;
  }
  at_.position += line - begin;
  return static_cast<size_t>(line - begin);
}

// The last record had been read without its LF, and now there is more: it has to be that LF. Returns its
// size.
size_t FileSource::Input::PassLineEnd(std::string_view data, bool at_end) {
  const size_t cr = data.substr(0, 1) == "\r" ? 1 : 0;
  if (data.size() == cr) return at_end ? cr : 0;  // cannot be told yet
  if (data[cr] == '\n') {
    at_.unterminated = false;
    return cr + 1;
  }
  error_ = Lost(
      fmt::format("went on inside a line that had been read as record {} without its line end (byte {}). "
                  "Start over with --reset, or use --follow, which waits for line ends",
                  next_offset_ - 1, at_.position));
  return 0;
}

// ---- the source
// ---------------------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<FileSource>> FileSource::Create(FileSourceOptions options) {
  if (options.paths.empty())
    return absl::InvalidArgumentError("no input: name a file with --input, or - for stdin");
  std::set<std::string_view> seen;
  std::map<std::pair<dev_t, ino_t>, std::string_view> files;
  for (const std::string& path : options.paths) {
    if (path.empty()) return absl::InvalidArgumentError("--input \"\": a path is missing; - is stdin");
    if (!seen.insert(path).second) {
      return absl::InvalidArgumentError(
          fmt::format("--input {} is given twice: each input is one partition. Name it once", OneLine(path)));
    }
    struct stat info;
    const bool known = (path == kStdin ? fstat(options.stdin_fd, &info) : stat(path.c_str(), &info)) == 0;
    if (!known || !S_ISREG(info.st_mode)) continue;  // what cannot be opened is told by Open
    const auto [same, added] = files.try_emplace({info.st_dev, info.st_ino}, path);
    if (!added) {
      return absl::InvalidArgumentError(fmt::format(
          "--input {} and --input {} are one file: its records would count twice. Name it once", OneLine(same->second), OneLine(path)));
    }
  }
  if (options.read_bytes == 0 || options.max_line_bytes == 0 || options.max_line_bytes > kMaxLineBytes ||
      options.read_bytes > size_t{1} << 30) {
    return absl::InvalidArgumentError(
        fmt::format("read size {} and line limit {} must be from 1 to 1073741824 and {} bytes", options.read_bytes,
                    options.max_line_bytes, kMaxLineBytes));
  }
  if (options.poll_interval <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        fmt::format("poll interval {} must be above zero", absl::FormatDuration(options.poll_interval)));
  }
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) return absl::InternalError(fmt::format("eventfd: {}", std::strerror(errno)));
  return std::unique_ptr<FileSource>(new FileSource(std::move(options), wake_fd));
}

FileSource::FileSource(FileSourceOptions options, int wake_fd)
    : options_(std::move(options)),
      follows_files_(options_.follow && std::any_of(options_.paths.begin(), options_.paths.end(),
                                                    [](const std::string& path) { return path != kStdin; })),
      wake_fd_(wake_fd) {}

FileSource::~FileSource() { close(wake_fd_); }

absl::Status FileSource::Open(const std::vector<PartitionPosition>& resume) {
  WEIR_CHECK(inputs_.empty());
  for (const std::string& path : options_.paths) {
    const auto known = std::find_if(resume.begin(), resume.end(), [&](const PartitionPosition& position) {
      return position.topic == path && position.partition == 0;
    });
    inputs_.push_back(std::make_unique<Input>(path, options_, interrupted_));
    states_.push_back({.position = {.topic = path, .cursor = {}}});
    WEIR_RETURN_IF_ERROR(inputs_.back()->Open(known == resume.end() ? nullptr : &*known));
  }
  return absl::OkStatus();
}

absl::Status FileSource::Poll(const PollLimits& limits, Chunk& chunk) {
  while (!interrupted_.load(std::memory_order_relaxed)) {
    bool dry = true;
    for (size_t tried = 0; tried < inputs_.size(); ++tried) {
      const size_t index = turn_;
      turn_ = turn_ + 1 == inputs_.size() ? 0 : turn_ + 1;
      Input& input = *inputs_[index];
      if (input.ended()) continue;
      WEIR_RETURN_IF_ERROR(input.Read(limits, static_cast<PartitionIndex>(index), chunk));
      if (!chunk.records.empty()) return absl::OkStatus();
      dry &= input.dry();
    }
    if (ended() || absl::Now() >= limits.deadline) break;
    if (dry) Wait(limits.deadline);
  }
  return absl::OkStatus();
}

// Until a pipe has something, it is time to look at the followed files again, or Interrupt.
void FileSource::Wait(absl::Time deadline) {
  std::vector<pollfd> watched = {{.fd = wake_fd_, .events = POLLIN, .revents = 0}};
  absl::Duration patience = deadline - absl::Now();
  for (const auto& input : inputs_) {
    if (input->ended()) continue;
    if (input->stream()) {
      watched.push_back({.fd = input->fd(), .events = POLLIN, .revents = 0});
    } else {
      patience = std::min(patience, options_.poll_interval);
    }
  }
  if (patience <= absl::ZeroDuration()) return;
  const timespec timeout = absl::ToTimespec(patience);
  ppoll(watched.data(), watched.size(), patience == absl::InfiniteDuration() ? nullptr : &timeout, nullptr);
}

const std::deque<PartitionState>& FileSource::partitions() const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Input& input = *inputs_[i];
    PartitionState& state = states_[i];
    state.position.first_offset = input.first_offset();
    state.position.next_offset = input.next_offset();
    state.position.cursor = input.cursor();
    // A pipe that has nothing for the moment may go on: only the end of a stream is its end.
    state.caught_up = input.ended() || (options_.follow && !input.stream() && input.dry());
    state.ended = input.ended();
  }
  return states_;
}

std::vector<DataGap> FileSource::TakeGaps() {
  std::vector<DataGap> gaps;
  for (size_t i = 0; i < inputs_.size(); ++i)
    for (auto& [offset, reason] : inputs_[i]->TakeLosses())
      gaps.push_back({static_cast<PartitionIndex>(i), offset, offset, std::move(reason)});
  return gaps;
}

bool FileSource::ended() const {
  return std::all_of(inputs_.begin(), inputs_.end(), [](const auto& input) { return input->ended(); });
}

bool FileSource::may_idle() const {
  return follows_files_;
}

void FileSource::Interrupt() {
  // Both are safe in a signal handler.
  interrupted_.store(true, std::memory_order_relaxed);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);
}

int64_t FileSource::bytes_total() const {
  int64_t sum = 0;
  for (const auto& input : inputs_) sum += input->bytes_total();
  return sum;
}

int64_t FileSource::bytes_read() const {
  int64_t sum = 0;
  for (const auto& input : inputs_) sum += input->bytes_read();
  return sum;
}

}  // namespace weir
