// Records from files and stdin: where they begin and end, how reading goes on after a restart, what damage is
// noticed.
#include "engine/source/file_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "engine/source/decompress.h"

namespace weir {
namespace {

using Lines = std::vector<std::string>;

PollLimits Unlimited() {
  return {.max_records = INT64_MAX, .max_bytes = SIZE_MAX, .deadline = absl::Now() + absl::Seconds(20)};
}
PollLimits AtMost(int64_t records) {
  PollLimits limits = Unlimited();
  limits.max_records = records;
  return limits;
}
PollLimits Briefly() {
  PollLimits limits = Unlimited();
  limits.deadline = absl::Now() + absl::Milliseconds(10);
  return limits;
}

Lines RecordsOf(const Chunk& chunk) {
  Lines out;
  for (const RawRecord& r : chunk.records) out.emplace_back(chunk.payload(r));
  return out;
}

std::string Gzip(std::string_view text) {
  z_stream s{};
  EXPECT_EQ(deflateInit2(&s, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&s, text.size()) + 64, '\0');
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = static_cast<uInt>(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&s, Z_FINISH), Z_STREAM_END);
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}

std::string Zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

// The contract in its simplest form.
Lines NaiveSplit(const std::string& text) {
  Lines out;
  for (size_t at = text.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0; at < text.size();) {
    const size_t lf = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, lf - at);
    at = lf + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t\n\v\f\r") != std::string::npos) out.push_back(line);
  }
  return out;
}

class FileSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir_file_source_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Write(const std::string& name, std::string_view bytes) const {
    std::ofstream(Path(name), std::ios::binary | std::ios::trunc) << bytes;
    return Path(name);
  }
  static void Append(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary | std::ios::app) << bytes;
  }

  static std::unique_ptr<FileSource> Make(FileSourceOptions options) {
    auto made = FileSource::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    return std::move(made).value();
  }
  static std::unique_ptr<FileSource> Opened(FileSourceOptions options,
                                            const std::vector<PartitionPosition>& resume = {}) {
    auto source = Make(std::move(options));
    const absl::Status opened = source->Open(resume);
    EXPECT_TRUE(opened.ok()) << opened;
    return source;
  }
  static FileSourceOptions Follow(const std::string& path) {
    return {.paths = {path}, .follow = true, .poll_interval = absl::Milliseconds(2)};
  }

  static Lines Next(FileSource& source, const PollLimits& limits) {
    Chunk chunk;
    const absl::Status status = source.Poll(limits, chunk);
    EXPECT_TRUE(status.ok()) << status;
    return RecordsOf(chunk);
  }
  // Polls to the end or to an error, which it leaves in `failure`.
  static Lines Drain(FileSource& source, absl::Status* failure = nullptr) {
    Lines out;
    Chunk chunk;
    while (!source.ended()) {
      chunk.Clear();
      const absl::Status status = source.Poll(Unlimited(), chunk);
      if (!status.ok()) {
        if (failure == nullptr)
          ADD_FAILURE() << status;
        else
          *failure = status;
        break;
      }
      if (chunk.records.empty() && !source.ended()) {
        ADD_FAILURE() << "an empty chunk before the end";
        break;
      }
      for (std::string& line : RecordsOf(chunk)) out.push_back(std::move(line));
    }
    return out;
  }
  Lines ReadAll(std::string_view bytes, FileSourceOptions options = {}) const {
    options.paths = {Write("all", bytes)};
    return Drain(*Opened(std::move(options)));
  }
  // Opens and reads on; returns what went wrong, by the end at the latest.
  static absl::Status ResumeError(FileSourceOptions options, const PartitionPosition& from) {
    auto source = Make(std::move(options));
    absl::Status status = source->Open({from});
    if (status.ok()) Drain(*source, &status);
    return status;
  }
  // Reads all of it, and returns where it stands.
  static PartitionPosition ReadToEnd(const std::string& path) {
    auto source = Opened({.paths = {path}});
    Drain(*source);
    return source->partitions()[0].position;
  }

  std::string folder_;
};

void ExpectError(const absl::Status& status, absl::StatusCode code, const std::vector<std::string>& words) {
  EXPECT_EQ(status.code(), code) << status;
  for (const std::string& word : words) {
    EXPECT_NE(std::string(status.message()).find(word), std::string::npos) << status << "\nlacks: " << word;
  }
}

// ---- lines ----

TEST_F(FileSourceTest, ARecordIsALineWithoutItsEnd) {
  EXPECT_EQ(ReadAll("{\"a\":1}\n{\"b\":2}\r\n"), (Lines{"{\"a\":1}", "{\"b\":2}"}));
  EXPECT_EQ(ReadAll("a\r\r\nb\rc\n"), (Lines{"a\r", "b\rc"})) << "one CR, before the LF only";
  EXPECT_EQ(ReadAll(""), Lines{});
}

TEST_F(FileSourceTest, ALastLineWithoutLineEndCounts) {
  EXPECT_EQ(ReadAll("a\nb"), (Lines{"a", "b"}));
  EXPECT_EQ(ReadAll("a\nb\r"), (Lines{"a", "b"}));
  EXPECT_EQ(ReadAll("x"), Lines{"x"});
}

TEST_F(FileSourceTest, AByteOrderMarkIsCutAtTheStartOnly) {
  EXPECT_EQ(ReadAll("\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n"), (Lines{"{}", "\xef\xbb\xbf{}"}));
  EXPECT_EQ(ReadAll("\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n", {.read_bytes = 6}), (Lines{"{}", "\xef\xbb\xbf{}"}));
  EXPECT_EQ(ReadAll("\xef\xbb\xbf\n{}\n"), Lines{"{}"}) << "with nothing behind it: a blank line";
  EXPECT_EQ(ReadAll("\xef\xbb\xbf"), Lines{});
}

// Blank lines take no ordinal, wherever they are.
TEST_F(FileSourceTest, BlankLinesAreNoRecords) {
  auto source = Opened({.paths = {Write("blank", "\n \t\na\n\r\n\v\f\n b\n\n  ")}});
  Chunk chunk;
  ASSERT_TRUE(source->Poll(Unlimited(), chunk).ok());
  EXPECT_EQ(RecordsOf(chunk), (Lines{"a", " b"}));
  EXPECT_EQ(chunk.records[0].offset, 0);
  EXPECT_EQ(chunk.records[1].offset, 1);
  EXPECT_EQ(chunk.records[1].timestamp_ms, kNoTimestamp);
  EXPECT_TRUE(source->ended());
  EXPECT_EQ(source->partitions()[0].position.next_offset, 2);
  EXPECT_EQ(ReadAll(std::string(700'000, '\n') + "a"), Lines{"a"});
}

TEST_F(FileSourceTest, LinesMayBeLongerThanAnyChunk) {
  const Lines lines = {std::string(100, 'a'),     std::string(3'000'000, 'b'), "c",
                       std::string(200'000, 'd'), std::string(131'072, 'e'),   std::string(131'071, 'f')};
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  EXPECT_EQ(ReadAll(text), lines);
  EXPECT_EQ(ReadAll(text, {.read_bytes = 1000}), lines);
  text.pop_back();
  EXPECT_EQ(ReadAll(text), lines);
  EXPECT_EQ(ReadAll(Zstd(text)), lines);
}

TEST_F(FileSourceTest, ALineBeyondTheLimitIsRefusedAfterTheRecordsBeforeIt) {
  auto source =
      Opened({.paths = {Write("long", "ok\n" + std::string(500'000, 'x'))}, .max_line_bytes = 300'000});
  absl::Status failure;
  EXPECT_EQ(Drain(*source, &failure), Lines{"ok"});
  ExpectError(failure, absl::StatusCode::kNotFound,
              {source->partitions()[0].position.topic, "byte 3", "300000"});
}

// Every way to cut a stream into reads and polls gives what the naive splitter gives, with offsets without
// gaps.
TEST_F(FileSourceTest, AgreesWithTheNaiveSplitterWhateverTheLimits) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](uint32_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 300; ++round) {
    std::string text = below(8) == 0 ? "\xef\xbb\xbf" : "";
    const size_t count = below(60);
    for (size_t i = 0; i < count; ++i) {
      const size_t length = below(5) == 0 ? below(2000) : below(20);
      for (size_t k = 0; k < length; ++k) text += "ab{}\" \t\r"[below(8)];
      text += below(4) == 0 ? "\r\n" : "\n";
    }
    if (below(2) == 0) text += below(2) == 0 ? "tail" : " ";
    const size_t kind = below(3);
    const std::string path = Write("random", kind == 0 ? text : kind == 1 ? Gzip(text) : Zstd(text));
    auto source = Opened({.paths = {path}, .read_bytes = 1 + below(below(2) == 0 ? 10 : 5000)});
    Lines got;
    Chunk chunk;
    while (!source->ended()) {
      chunk.Clear();
      PollLimits limits = Unlimited();
      if (below(2) == 0) limits.max_records = 1 + static_cast<int64_t>(below(5));
      if (below(2) == 0) limits.max_bytes = 1 + below(100);
      ASSERT_TRUE(source->Poll(limits, chunk).ok());
      ASSERT_TRUE(!chunk.records.empty() || source->ended());
      ASSERT_LE(static_cast<int64_t>(chunk.records.size()), limits.max_records);
      size_t before_last = 0;
      for (const RawRecord& r : chunk.records) {
        ASSERT_EQ(r.offset, static_cast<int64_t>(got.size()));
        ASSERT_LE(r.begin + r.size, chunk.size());
        ASSERT_LT(before_last, limits.max_bytes);
        before_last += r.size;
        got.emplace_back(chunk.payload(r));
      }
      ASSERT_EQ(source->partitions()[0].position.next_offset, static_cast<int64_t>(got.size()));
    }
    ASSERT_EQ(got, NaiveSplit(text)) << "round " << round;
  }
}

TEST_F(FileSourceTest, FilesAreReadEvenlyAndEachIsAPartition) {
  std::string a, b;
  for (int i = 0; i < 400; ++i) {
    a += "a" + std::to_string(i) + "\n";
    b += "b" + std::to_string(i) + "\n";
  }
  const std::string path_a = Write("a", a), path_b = Write("b", b);
  auto source = Opened({.paths = {path_a, path_b}, .read_bytes = 100});
  int64_t seen[2] = {0, 0};
  Chunk chunk;
  while (!source->ended()) {
    chunk.Clear();
    ASSERT_TRUE(source->Poll(Unlimited(), chunk).ok());
    for (const RawRecord& r : chunk.records) {
      ASSERT_EQ(r.partition, chunk.records[0].partition);
      ASSERT_EQ(r.offset, seen[r.partition]);
      ASSERT_EQ(chunk.payload(r), (r.partition == 0 ? "a" : "b") + std::to_string(seen[r.partition]++));
    }
    ASSERT_LT(std::abs(seen[0] - seen[1]), 60);
  }
  EXPECT_EQ(seen[0] + seen[1], 800);
  EXPECT_EQ(source->partitions()[1].position.topic, path_b);
  EXPECT_EQ(source->partitions()[1].position.partition, 0);
  EXPECT_EQ(source->bytes_total(), static_cast<int64_t>(a.size() + b.size()));
  EXPECT_EQ(source->bytes_read(), source->bytes_total());
}

// ---- what kind of input it is ----

TEST_F(FileSourceTest, TellsWhetherItEnds) {
  const std::string path = Write("f", "a\n");
  const auto traits = [](FileSourceOptions options) {
    auto s = Make(std::move(options));
    return std::vector<bool>{s->bounded(), s->may_idle(), s->advances_when_idle()};
  };
  EXPECT_EQ(traits({.paths = {path}}), (std::vector<bool>{true, false, false}));
  EXPECT_EQ(traits({.paths = {path, "-"}}), (std::vector<bool>{true, false, false}));
  EXPECT_EQ(traits({.paths = {path}, .follow = true}), (std::vector<bool>{false, true, true}));
  EXPECT_EQ(traits({.paths = {"-"}, .follow = true}), (std::vector<bool>{true, false, false}));
}

TEST_F(FileSourceTest, WrongOptionsAreRefused) {
  const auto status = [](FileSourceOptions options) {
    return FileSource::Create(std::move(options)).status();
  };
  ExpectError(status({}), absl::StatusCode::kInvalidArgument, {"no input"});
  ExpectError(status({.paths = {"x", "-", "x"}}), absl::StatusCode::kInvalidArgument, {"--input x", "twice"});
  ExpectError(status({.paths = {""}}), absl::StatusCode::kInvalidArgument, {"path"});
  ExpectError(status({.paths = {"x"}, .read_bytes = 0}), absl::StatusCode::kInvalidArgument, {"read size 0"});
  ExpectError(status({.paths = {"x"}, .poll_interval = absl::ZeroDuration()}),
              absl::StatusCode::kInvalidArgument, {"poll interval 0"});
}

// A symbolic link, a hard link, a detour, stdin: other names, the same records.
TEST_F(FileSourceTest, OneFileUnderTwoNamesIsRefused) {
  const std::string path = Write("f", "a\n");
  ASSERT_EQ(symlink("f", Path("soft").c_str()), 0);
  ASSERT_EQ(link(path.c_str(), Path("hard").c_str()), 0);
  const int fd = open(path.c_str(), O_RDONLY);
  for (const std::string& other : {Path("soft"), Path("hard"), Path("./f"), std::string("-")})
    ExpectError(FileSource::Create({.paths = {path, other}, .stdin_fd = fd}).status(), absl::StatusCode::kInvalidArgument,
                {path + " and --input " + other, "one file"});
  close(fd);
  EXPECT_TRUE(FileSource::Create({.paths = {path, Write("g", "a\n")}}).ok());
  EXPECT_TRUE(FileSource::Create({.paths = {"/dev/null", "/dev//null"}}).ok()) << "no file: each opening has bytes of its own, or none";
}

TEST_F(FileSourceTest, WhatCannotBeOpenedIsNamed) {
  ExpectError(Make({.paths = {Path("none")}})->Open({}), absl::StatusCode::kNotFound,
              {Path("none"), "No such file or directory"});
  ExpectError(Make({.paths = {folder_}})->Open({}), absl::StatusCode::kNotFound, {folder_, "directory"});
  ExpectError(Make({.paths = {Path("none")}, .follow = true})->Open({}), absl::StatusCode::kNotFound,
              {"none"});
  ExpectError(Make({.paths = {Path("no\nne")}})->Open({}), absl::StatusCode::kNotFound, {Path("no\\nne") + "\": No such file"});
  if (geteuid() != 0) {
    chmod(Write("secret", "a\n").c_str(), 0);
    ExpectError(Make({.paths = {Path("secret")}})->Open({}), absl::StatusCode::kNotFound,
                {"Permission denied"});
  }
}

// ---- gzip and zstd ----

class CompressedTest : public FileSourceTest,
                       public testing::WithParamInterface<std::string (*)(std::string_view)> {
 protected:
  static std::string Compress(std::string_view text) { return GetParam()(text); }
  static std::string NumberedLines(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "{\"line\":" + std::to_string(i * 7919 % 100'003) + "}\n";
    return text;
  }
};
INSTANTIATE_TEST_SUITE_P(All, CompressedTest, testing::Values(&Gzip, &Zstd),
                         [](const auto& info) { return info.index == 0 ? "Gzip" : "Zstd"; });

TEST_P(CompressedTest, IsRecognisedByContentAndReadThroughJoins) {
  const std::string text = NumberedLines(50'000);
  const size_t cut = text.size() / 2 + 3;  // inside a line
  EXPECT_EQ(ReadAll(Compress(text)), NaiveSplit(text));
  EXPECT_EQ(ReadAll(Compress(text.substr(0, cut)) + Compress("") + Compress(text.substr(cut))),
            NaiveSplit(text));
  EXPECT_EQ(ReadAll(Compress("a\nb")), (Lines{"a", "b"}));
  EXPECT_EQ(ReadAll(Compress("")), Lines{});
}

TEST_P(CompressedTest, ATruncatedFileIsNoticedAfterItsWholeLines) {
  const std::string text = NumberedLines(50'000), packed = Compress(text);
  const Lines all = NaiveSplit(text);
  for (const size_t size : {packed.size() - 1, packed.size() - 5, packed.size() / 2, size_t{5}}) {
    auto source = Opened({.paths = {Write("cut", packed.substr(0, size))}});
    absl::Status failure;
    const Lines got = Drain(*source, &failure);
    ExpectError(failure, absl::StatusCode::kDataLoss,
                {Path("cut"), "byte " + std::to_string(size), "incomplete", "run again"});
    ASSERT_LE(got.size(), all.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), all.begin()));
    if (size > packed.size() / 3) {
      EXPECT_GT(got.size(), 5'000u);
    }
    EXPECT_FALSE(source->ended());
  }
}

TEST_P(CompressedTest, DamageIsNoticed) {
  std::string packed = Compress(NumberedLines(50'000));
  for (size_t i = packed.size() / 2; i < packed.size() / 2 + 20; ++i)
    packed[i] = static_cast<char>(~packed[i]);
  absl::Status failure;
  Drain(*Opened({.paths = {Write("damaged", packed)}}), &failure);
  ExpectError(failure, absl::StatusCode::kDataLoss, {Path("damaged"), "byte", "damaged"});

  failure = absl::OkStatus();
  EXPECT_EQ(Drain(*Opened({.paths = {Write("garbage", Compress("a\n") + "garbage")}}), &failure), Lines{"a"});
  ExpectError(failure, absl::StatusCode::kDataLoss, {Path("garbage"), "damaged"});
}

TEST_P(CompressedTest, GoesOnAtEveryRecord) {
  const std::string text = "\n" + NumberedLines(40) + "tail";
  const std::string path = Write("packed", Compress(text.substr(0, 100)) + Compress(text.substr(100)));
  const Lines all = NaiveSplit(text);
  for (size_t first = 0; first <= all.size(); ++first) {
    auto before = Opened({.paths = {path}});
    if (first > 0) {
      EXPECT_EQ(Next(*before, AtMost(static_cast<int64_t>(first))).size(), first);
    }
    auto after = Opened({.paths = {path}}, {before->partitions()[0].position});
    EXPECT_EQ(Drain(*after), Lines(all.begin() + static_cast<long>(first), all.end())) << first;
    EXPECT_EQ(after->partitions()[0].position.next_offset, static_cast<int64_t>(all.size()));
  }
}

TEST_P(CompressedTest, AnotherContentIsNoticedWhenGoingOn) {
  const std::string path = Write("packed", Compress(NumberedLines(1000)));
  auto source = Opened({.paths = {path}});
  EXPECT_EQ(Next(*source, AtMost(500)).size(), 500u);
  const PartitionPosition position = source->partitions()[0].position;

  std::string other = NumberedLines(3000);
  for (char& c : other) c = c == 'l' ? 'L' : c;
  Write("packed", Compress(other));
  ExpectError(ResumeError({.paths = {path}}, position), absl::StatusCode::kDataLoss,
              {path, "rewritten", "record 499"});
  Write("packed", Compress("short\n"));
  ExpectError(ResumeError({.paths = {path}}, position), absl::StatusCode::kDataLoss, {path, "shortened"});
}

// While it is being written, an unfinished member is no damage.
TEST_P(CompressedTest, AFollowedFileMayBeUnfinished) {
  const std::string packed = Compress("a\nb\n") + Compress("c\n");
  const std::string path = Write("growing", "");
  auto source = Opened(Follow(path));
  Lines got;
  for (const char c : packed) {
    Append(path, {&c, 1});
    for (std::string& line : Next(*source, Briefly())) got.push_back(std::move(line));
  }
  EXPECT_EQ(got, (Lines{"a", "b", "c"}));
  EXPECT_TRUE(source->partitions()[0].caught_up);
  EXPECT_FALSE(source->ended());
}

TEST_F(FileSourceTest, GzipMayBePaddedWithZeros) {
  EXPECT_EQ(ReadAll(Gzip("a\n") + std::string(1000, '\0')), Lines{"a"});
}

TEST(DetectCompressionTest, SaysWhenItCannotTellYet) {
  EXPECT_EQ(DetectCompression(""), std::nullopt);
  EXPECT_EQ(DetectCompression("\x1f"), std::nullopt);
  EXPECT_EQ(DetectCompression("\x1f\x8b"), Compression::kGzip);
  EXPECT_EQ(DetectCompression("\x28\xb5\x2f"), std::nullopt);
  EXPECT_EQ(DetectCompression("\x28\xb5\x2f\xfd"), Compression::kZstd);
  EXPECT_EQ(DetectCompression("\x5a\x2a\x4d\x18"), Compression::kZstd) << "a skippable frame";
  EXPECT_EQ(DetectCompression("["), std::nullopt) << "0x5b may begin a skippable frame";
  EXPECT_EQ(DetectCompression("[1"), Compression::kNone);
  EXPECT_EQ(DetectCompression("{"), Compression::kNone);
}

// ---- stdin ----

class StdinTest : public FileSourceTest {
 protected:
  void SetUp() override {
    FileSourceTest::SetUp();
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    read_end_ = ends[0];
    write_end_ = ends[1];
  }
  void TearDown() override {
    CloseWriter();
    close(read_end_);
    FileSourceTest::TearDown();
  }
  void Send(std::string_view bytes) {
    ASSERT_EQ(write(write_end_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void CloseWriter() {
    if (write_end_ >= 0) close(std::exchange(write_end_, -1));
  }
  FileSourceOptions Stdin() const { return {.paths = {"-"}, .stdin_fd = read_end_}; }

  int read_end_ = -1, write_end_ = -1;
};

// Whole lines are handed over as they come; the unfinished one waits.
TEST_F(StdinTest, DoesNotWaitForAFullChunk) {
  auto source = Opened(Stdin());
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  EXPECT_FALSE(source->ended());
  Send("[");
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  Send("1]\nb\nc");
  EXPECT_EQ(Next(*source, Unlimited()), (Lines{"[1]", "b"}));
  EXPECT_FALSE(source->partitions()[0].caught_up) << "a pipe may go on until its writer closes it";
  Send("c\n");
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"cc"});
  Send("last");
  CloseWriter();
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"last"});
  EXPECT_TRUE(source->ended());
  EXPECT_TRUE(source->partitions()[0].ended);
  EXPECT_EQ(source->bytes_total(), 0);
}

TEST_F(StdinTest, WakesWhenSomethingComes) {
  auto source = Opened(Stdin());
  std::thread writer([&] {
    absl::SleepFor(absl::Milliseconds(30));
    Send("a\n");
  });
  const absl::Time start = absl::Now();
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"a"});
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  writer.join();
}

TEST_F(StdinTest, ReadsMoreThanAPipeHolds) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += std::to_string(i) + "\n";
  for (const std::string& bytes : {text, Gzip(text), Zstd(text)}) {
    if (write_end_ < 0) {
      close(read_end_);
      int ends[2];
      ASSERT_EQ(pipe(ends), 0);
      read_end_ = ends[0];
      write_end_ = ends[1];
    }
    auto source = Opened(Stdin());
    std::thread writer([&] {
      for (size_t at = 0; at < bytes.size();) {
        const ssize_t n = write(write_end_, bytes.data() + at, std::min<size_t>(7777, bytes.size() - at));
        if (n <= 0) break;
        at += static_cast<size_t>(n);
      }
      CloseWriter();
    });
    const Lines got = Drain(*source);
    writer.join();
    EXPECT_EQ(got, NaiveSplit(text));
  }
}

// weir run … < file
TEST_F(FileSourceTest, StdinMayBeAFile) {
  for (const std::string& bytes : {std::string("a\nb"), Gzip("a\nb")}) {
    const int fd = open(Write("f", bytes).c_str(), O_RDONLY);
    {
      auto source = Opened({.paths = {"-"}, .follow = true, .stdin_fd = fd});
      EXPECT_EQ(Drain(*source), (Lines{"a", "b"}));
      EXPECT_EQ(source->partitions()[0].position.topic, "-");
      EXPECT_EQ(source->bytes_read(), static_cast<int64_t>(bytes.size()));
    }
    EXPECT_EQ(close(fd), 0) << "not the source's to close";
  }
}

TEST_F(StdinTest, TruncatedCompressedInputIsNoticed) {
  const std::string packed = Gzip("a\nb\n");
  Send(packed.substr(0, packed.size() - 1));
  CloseWriter();
  absl::Status failure;
  EXPECT_EQ(Drain(*Opened(Stdin()), &failure), (Lines{"a", "b"}));
  ExpectError(failure, absl::StatusCode::kDataLoss, {"\"-\"", "incomplete"});
}

TEST_F(StdinTest, CannotBeGoneOnWith) {
  Send("a\n");
  PartitionPosition position;
  {
    auto source = Opened(Stdin());
    EXPECT_EQ(Next(*source, Unlimited()), Lines{"a"});
    position = source->partitions()[0].position;
  }
  ExpectError(Make(Stdin())->Open({position}), absl::StatusCode::kFailedPrecondition,
              {"stdin cannot be gone on with", "1 records", "--reset"});
  position.next_offset = 0;
  EXPECT_TRUE(Make(Stdin())->Open({position}).ok()) << "nothing of it was read";
}

TEST_F(StdinTest, AFileAndStdinTakeTurns) {
  FileSourceOptions options = Stdin();
  options.paths = {Write("f", "f0\nf1\n"), "-"};
  auto source = Opened(options);
  EXPECT_EQ(Next(*source, Unlimited()), (Lines{"f0", "f1"}));
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  EXPECT_TRUE(source->partitions()[0].ended);
  EXPECT_FALSE(source->partitions()[1].ended);
  Send("s0\n");
  Chunk chunk;
  ASSERT_TRUE(source->Poll(Unlimited(), chunk).ok());
  ASSERT_EQ(RecordsOf(chunk), Lines{"s0"});
  EXPECT_EQ(chunk.records[0].partition, 1u);
}

TEST_F(StdinTest, InterruptEndsARunningPollAndEveryLaterOne) {
  auto source = Opened(Stdin());
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(30));
    source->Interrupt();
  });
  PollLimits limits = Unlimited();
  limits.deadline = absl::InfiniteFuture();
  const absl::Time start = absl::Now();
  EXPECT_EQ(Next(*source, limits), Lines{});
  EXPECT_EQ(Next(*source, limits), Lines{});
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  other.join();
}

// ---- following ----

TEST_F(FileSourceTest, AFollowedFileIsReadAsItGrows) {
  const std::string path = Write("log", "");
  auto source = Opened(Follow(path));
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  Append(path, "\xef\xbb");
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  Append(path,
         "\xbf"
         "a\nb");
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"a"});
  EXPECT_EQ(Next(*source, Briefly()), Lines{}) << "b waits for its line end";
  EXPECT_TRUE(source->partitions()[0].caught_up);
  EXPECT_FALSE(source->partitions()[0].ended);
  std::thread writer([&] {
    absl::SleepFor(absl::Milliseconds(20));
    Append(path, "b\r\n");
  });
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"bb"});
  writer.join();
  EXPECT_FALSE(source->ended());

  // Another run goes on behind the last whole line.
  Append(path, "half");
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  auto later = Opened(Follow(path), {source->partitions()[0].position});
  Append(path, " line\n");
  EXPECT_EQ(Next(*later, Unlimited()), Lines{"half line"});
  EXPECT_EQ(later->partitions()[0].position.next_offset, 3);
}

TEST_F(FileSourceTest, AFollowedFileThatShrinksIsNoticed) {
  const std::string path = Write("log", "aaaa\nbbbb\n");
  auto source = Opened(Follow(path));
  EXPECT_EQ(Next(*source, Unlimited()), (Lines{"aaaa", "bbbb"}));
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  Write("log", "cc\n");
  Chunk chunk;
  ExpectError(source->Poll(Unlimited(), chunk), absl::StatusCode::kDataLoss,
              {path, "shortened", "3 bytes", "10"});
}

// Copied and truncated, and written on beyond the old size before anybody looked.
TEST_F(FileSourceTest, AFollowedFileThatWasTruncatedAndGrewAgainIsNoticed) {
  const std::string path = Write("log", "aaaa\nbbbb\n");
  auto source = Opened(Follow(path));
  EXPECT_EQ(Next(*source, Unlimited()), (Lines{"aaaa", "bbbb"}));
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  Write("log", "cccc\ndddd\neeee\n");
  Chunk chunk;
  ExpectError(source->Poll(Unlimited(), chunk), absl::StatusCode::kDataLoss, {path, "rewritten", "record 1"});
}

TEST_F(FileSourceTest, AReplacedFileIsReadToItsEndFirst) {
  const std::string path = Write("log", "a\n");
  auto source = Opened(Follow(path));
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"a"});
  std::filesystem::rename(path, Path("log.1"));
  EXPECT_EQ(Next(*source, Briefly()), Lines{}) << "moved away, and none in its place: the writer may go on";
  Append(Path("log.1"), "b\n");
  Write("log", "new\n");
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"b"});
  Chunk chunk;
  ExpectError(source->Poll(Unlimited(), chunk), absl::StatusCode::kDataLoss, {path, "replaced", "rotation"});
}

TEST_F(FileSourceTest, APipeCannotBeFollowed) {
  const std::string path = Path("fifo");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int both = open(path.c_str(), O_RDWR);  // so that opening does not wait for a writer
  ExpectError(Make(Follow(path))->Open({}), absl::StatusCode::kInvalidArgument, {path, "--follow"});
  auto source = Opened({.paths = {path}});
  ASSERT_EQ(write(both, "a\n", 2), 2);
  close(both);
  EXPECT_EQ(Drain(*source), Lines{"a"});
}

TEST_F(FileSourceTest, InterruptWakesAFollower) {
  FileSourceOptions options = Follow(Write("log", ""));
  options.poll_interval = absl::Hours(1);
  auto source = Opened(options);
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(30));
    source->Interrupt();
  });
  const absl::Time start = absl::Now();
  EXPECT_EQ(Next(*source, Unlimited()), Lines{});
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  other.join();
}

// ---- going on ----

TEST_F(FileSourceTest, GoesOnAtEveryRecord) {
  const std::string text = "\xef\xbb\xbf{\"a\":1}\n\n{\"b\":2}\r\n \r\n" + std::string(500, 'c') + "\nlast";
  const std::string path = Write("f", text);
  const Lines all = NaiveSplit(text);
  ASSERT_EQ(all.size(), 4u);
  for (size_t first = 0; first <= all.size(); ++first) {
    for (const size_t read_bytes : {size_t{7}, size_t{100'000}}) {
      auto before = Opened({.paths = {path}, .read_bytes = read_bytes});
      for (size_t i = 0; i < first; ++i) EXPECT_EQ(Next(*before, AtMost(1)), Lines{all[i]});
      PartitionPosition position = before->partitions()[0].position;
      EXPECT_EQ(position.next_offset, static_cast<int64_t>(first));
      auto after = Opened({.paths = {path}, .read_bytes = read_bytes}, {position});
      Chunk chunk;
      ASSERT_TRUE(after->Poll(Unlimited(), chunk).ok());
      if (!chunk.records.empty()) {
        EXPECT_EQ(chunk.records[0].offset, static_cast<int64_t>(first));
      }
      Lines rest = RecordsOf(chunk);
      for (std::string& line : Drain(*after)) rest.push_back(std::move(line));
      EXPECT_EQ(rest, Lines(all.begin() + static_cast<long>(first), all.end())) << first;
    }
  }
}

TEST_F(FileSourceTest, GoesOnWithWhatWasAppendedSince) {
  const std::string path = Write("f", "a\n");
  PartitionPosition position = ReadToEnd(path);
  Append(path, "b\nc\n");
  auto source = Opened({.paths = {path}}, {position});
  EXPECT_EQ(Drain(*source), (Lines{"b", "c"}));
  EXPECT_EQ(source->partitions()[0].position.next_offset, 3);
}

// An unfinished last line was a record: it may get its line end, but must not have grown.
TEST_F(FileSourceTest, ALineReadWithoutItsEndMustNotHaveGrown) {
  for (const std::string end : {"\n", "\r\n"}) {
    const std::string path = Write("f", "a\nb");
    const PartitionPosition position = ReadToEnd(path);
    EXPECT_EQ(Drain(*Opened({.paths = {path}}, {position})), Lines{}) << "nothing new: nothing read again";
    Append(path, end + "c\n");
    auto source = Opened({.paths = {path}}, {position});
    EXPECT_EQ(Drain(*source), Lines{"c"});
    EXPECT_EQ(Drain(*Opened({.paths = {path}}, {source->partitions()[0].position})), Lines{});
  }
  const std::string path = Write("f", "a\nb");
  const PartitionPosition position = ReadToEnd(path);
  Append(path, "b\nc\n");
  ExpectError(Make({.paths = {path}})->Open({position}), absl::StatusCode::kDataLoss,
              {path, "record 1", "byte 3", "--follow"});

  // The same where the file grows only later, and inside a compressed stream.
  Write("f", "a\nb");
  auto follower = Opened(Follow(path), {position});
  EXPECT_EQ(Next(*follower, Briefly()), Lines{});
  Append(path, "b\n");
  Chunk chunk;
  ExpectError(follower->Poll(Unlimited(), chunk), absl::StatusCode::kDataLoss, {"record 1"});
  const std::string packed = Write("f.gz", Gzip("a\nb"));
  const PartitionPosition end = ReadToEnd(packed);
  Append(packed, Gzip("\nc\n"));
  EXPECT_EQ(Drain(*Opened({.paths = {packed}}, {end})), Lines{"c"});
  Write("f.gz", Gzip("a\nb") + Gzip("b\nc\n"));
  ExpectError(ResumeError({.paths = {packed}}, end), absl::StatusCode::kDataLoss, {packed, "record 1"});
}

TEST_F(FileSourceTest, AShortenedFileIsNoticed) {
  const std::string path = Write("f", "aaaa\nbbbb\ncccc\n");
  const PartitionPosition position = ReadToEnd(path);
  Write("f", "aaaa\nbbbb\n");
  ExpectError(Make({.paths = {path}})->Open({position}), absl::StatusCode::kDataLoss,
              {path, "shortened", "10 bytes", "15", "3 records", "--reset"});
}

// Also one that nobody follows: what was there when it was opened is what was asked for. The line in which it now ends is no
// record.
TEST_F(FileSourceTest, AFileShortenedWhileItIsReadIsNoticed) {
  const std::string path = Write("f", "a\nbb\nccccc\nddddd\neeeee\n");
  auto source = Opened({.paths = {path}, .read_bytes = 4});
  EXPECT_EQ(Next(*source, {.max_records = 1, .max_bytes = 1, .deadline = absl::InfiniteFuture()}), Lines{"a"});
  ASSERT_EQ(truncate(path.c_str(), 13), 0);
  absl::Status status;
  EXPECT_EQ(Drain(*source, &status), (Lines{"bb", "ccccc"}));
  ExpectError(status, absl::StatusCode::kDataLoss, {path, "was shortened", "byte 13", "had 23"});
}

// Another program may have read the beginning, and the file may have grown: neither is a loss.
TEST_F(FileSourceTest, StdinMayBeTheRestOfAFileThatGrows) {
  const std::string path = Write("f", "a\nb\n");
  const int fd = open(path.c_str(), O_RDONLY);
  ASSERT_EQ(lseek(fd, 2, SEEK_SET), 2);
  auto source = Opened({.paths = {"-"}, .stdin_fd = fd});
  Append(path, "c\n");
  EXPECT_EQ(Drain(*source), (Lines{"b", "c"}));
  close(fd);
}

TEST_F(FileSourceTest, ARewrittenFileIsNoticed) {
  const std::string path = Write("f", "aaaa\nbbbb\ncccc\n");
  const PartitionPosition position = ReadToEnd(path);
  for (const std::string bytes :
       {"aaaa\nbbbb\ncccC\n", "aaaa\nbbb\ncccc\n\n", "aaaa\nbbbb\ncccc ", "\naaaa\nbbbb\ncccc\n"}) {
    Write("f", bytes);
    ExpectError(Make({.paths = {path}})->Open({position}), absl::StatusCode::kDataLoss,
                {path, "rewritten", "record 2", "byte 10"});
  }
  Write("f", "aaaa\nBBBB\ncccc\n");
  EXPECT_TRUE(Make({.paths = {path}})->Open({position}).ok()) << "only the last record is known";
}

// With OnDataLoss::kSkip the file is read from its beginning, its records counted on, and the gap says why: its length is not known.
TEST_F(FileSourceTest, AShortenedOrRewrittenFileMayBeReadFromItsBeginning) {
  const std::string path = Write("f", "aaaa\nbbbb\ncccc\n");
  const PartitionPosition position = ReadToEnd(path);
  const std::string packed = Write("f.gz", Gzip("aaaa\nbbbb\ncccc\n"));
  const PartitionPosition packed_position = ReadToEnd(packed);
  for (const auto& [bytes, word] : {std::pair("dddd\n", "shortened"), {"", "shortened"}, {"dddd\neeee\nffff\ngggg\n", "rewritten"}}) {
    for (const bool gzip : {false, true}) {
      Write("f", bytes);
      Write("f.gz", Gzip(bytes));
      const PartitionPosition& from = gzip ? packed_position : position;
      auto source = Opened({.paths = {from.topic}, .on_data_loss = OnDataLoss::kSkip}, {from});
      const Lines lines = Drain(*source);
      EXPECT_EQ(lines, NaiveSplit(bytes));
      const std::vector<DataGap> gaps = source->TakeGaps();
      ASSERT_EQ(gaps.size(), 1u) << from.topic << " " << word;
      EXPECT_EQ(gaps[0].first_offset, 3);
      EXPECT_EQ(gaps[0].next_offset, 3);
      EXPECT_NE(gaps[0].reason.find(gzip && bytes != std::string() ? "was " : word), std::string::npos) << gaps[0].reason;
      EXPECT_TRUE(source->TakeGaps().empty());
      const PartitionPosition after = source->partitions()[0].position;
      EXPECT_EQ(after.first_offset, 0);
      EXPECT_EQ(after.next_offset, 3 + static_cast<int64_t>(lines.size()));
      // And it is gone on with like any other.
      source = Opened({.paths = {from.topic}, .on_data_loss = OnDataLoss::kSkip}, {after});
      EXPECT_EQ(Drain(*source), Lines{});
      EXPECT_TRUE(source->TakeGaps().empty());
    }
  }
}

// Logs that are rotated, in either way.
TEST_F(FileSourceTest, AFollowedFileMayBeRotated) {
  const std::string path = Write("log", "aaaa\nbbbb\nunfini");
  FileSourceOptions options = Follow(path);
  options.on_data_loss = OnDataLoss::kSkip;
  auto source = Opened(options);
  EXPECT_EQ(Next(*source, Unlimited()), (Lines{"aaaa", "bbbb"}));
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  Write("log", "cc\n");  // cut
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"cc"});
  EXPECT_EQ(Next(*source, Briefly()), Lines{});
  Write("log", "dddd\neeee\n");  // cut, and grown beyond the old size
  EXPECT_EQ(Next(*source, Unlimited()), (Lines{"dddd", "eeee"}));
  std::filesystem::rename(path, Path("log.1"));
  Append(Path("log.1"), "last\n");
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"last"});
  Write("log", "new\n");  // renamed
  EXPECT_EQ(Next(*source, Unlimited()), Lines{"new"});
  std::vector<int64_t> at;
  for (const DataGap& gap : source->TakeGaps()) at.push_back(gap.first_offset);
  EXPECT_EQ(at, (std::vector<int64_t>{2, 3, 6}));
  EXPECT_EQ(source->partitions()[0].position.next_offset, 7);
}

TEST_F(FileSourceTest, ACursorOfAnotherVersionIsRefused) {
  const std::string path = Write("f", "a\n");
  PartitionPosition position = ReadToEnd(path);
  const std::string good = position.cursor;
  for (const std::string& cursor : {std::string(), std::string("file9 1 2"), good + " 1",
                                    good.substr(0, good.size() - 2), std::string("file1 1 5 9 0 0 0 0")}) {
    position.cursor = cursor;
    ExpectError(Make({.paths = {path}})->Open({position}), absl::StatusCode::kFailedPrecondition,
                {path, "\"" + cursor + "\"", "--reset"});
  }
}

// What is known of other files does not disturb, and what is not known begins at its beginning.
TEST_F(FileSourceTest, ANewFileBeginsAtItsBeginning) {
  const std::string old = Write("old", "a\n"), fresh = Write("fresh", "b\n");
  PartitionPosition position = ReadToEnd(old);
  position.first_offset = 0;
  auto source = Opened({.paths = {fresh, old}}, {position});
  EXPECT_EQ(Drain(*source), Lines{"b"});
  EXPECT_EQ(source->partitions()[0].position.topic, fresh);
  EXPECT_EQ(source->partitions()[1].position.next_offset, 1);
}

}  // namespace
}  // namespace weir
