#include "engine/source/decompress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string>

#include "engine/status_macros.h"

namespace weir {
namespace {

constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
// A zstd skippable frame begins with one of 16 bytes and these three; pzstd and seekable files start with
// one.
constexpr std::string_view kSkippableTail = "\x2a\x4d\x18";
constexpr size_t kMaxStep = size_t{1} << 30;  // zlib counts in 32 bits

class GzipDecompressor final : public Decompressor {
 public:
  ~GzipDecompressor() override {
    if (ready_) inflateEnd(&stream_);
  }
  bool Init() {
    // 15: the greatest window; +16: gzip headers and checksums.
    ready_ = inflateInit2(&stream_, 15 + 16) == Z_OK;
    return ready_;
  }

 private:
  Step Advance(std::string_view in, char* out, size_t room) override {
    const size_t offered = std::min(in.size(), kMaxStep);
    const size_t space = std::min(room, kMaxStep);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(offered);
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(space);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    Step step{.taken = offered - stream_.avail_in, .written = space - stream_.avail_out};
    if (code == Z_STREAM_END) {
      step.closed_member = true;
      inflateReset(&stream_);
    } else if (code == Z_NEED_DICT) {
      step.error = "a preset dictionary is needed";
    } else if (code != Z_OK && code != Z_BUF_ERROR) {  // Z_BUF_ERROR: no progress without more input
      step.error = stream_.msg != nullptr ? stream_.msg : zError(code);
    }
    return step;
  }

  // Tapes and some tools fill up with zero bytes, which gzip(1) ignores as well.
  bool SkipPadding(std::string_view& in) override {
    const size_t zeros = std::min(in.find_first_not_of('\0'), in.size());
    padded_ |= zeros > 0;
    in.remove_prefix(zeros);
    return in.empty() || !padded_;
  }

  z_stream stream_{};
  bool ready_ = false;
  bool padded_ = false;
};

class ZstdDecompressor final : public Decompressor {
 public:
  bool Init() {
    // Accept what `zstd --long=31` writes.
    return stream_ != nullptr &&
           !ZSTD_isError(ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, 31));
  }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };

  Step Advance(std::string_view in, char* out, size_t room) override {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out, room, 0};
    const size_t code = ZSTD_decompressStream(stream_.get(), &to, &from);
    Step step{.taken = from.pos, .written = to.pos};
    if (ZSTD_isError(code)) step.error = ZSTD_getErrorName(code);
    step.closed_member = code == 0;
    return step;
  }
  bool SkipPadding(std::string_view&) override { return true; }

  std::unique_ptr<ZSTD_DStream, Free> stream_{ZSTD_createDStream()};
};

template <typename T>
absl::StatusOr<std::unique_ptr<Decompressor>> Make(Compression kind) {
  auto made = std::make_unique<T>();
  if (!made->Init()) {
    return absl::ResourceExhaustedError("no memory for a " + std::string(CompressionName(kind)) +
                                        " decompressor");
  }
  return made;
}

bool IsPrefix(std::string_view shorter, std::string_view longer) {
  return longer.substr(0, shorter.size()) == shorter;
}

}  // namespace

std::string_view CompressionName(Compression kind) {
  switch (kind) {
    case Compression::kGzip:
      return "gzip";
    case Compression::kZstd:
      return "zstd";
    case Compression::kNone:
      break;
  }
  return "plain";
}

std::optional<Compression> DetectCompression(std::string_view head) {
  if (head.empty()) return std::nullopt;
  if (IsPrefix(kGzipMagic, head)) return Compression::kGzip;
  if (IsPrefix(kZstdMagic, head)) return Compression::kZstd;
  const bool skippable_start = (static_cast<unsigned char>(head[0]) & 0xf0) == 0x50;
  if (skippable_start && IsPrefix(kSkippableTail, head.substr(1))) return Compression::kZstd;
  if (IsPrefix(head, kGzipMagic) || IsPrefix(head, kZstdMagic)) return std::nullopt;
  if (skippable_start && IsPrefix(head.substr(1), kSkippableTail)) return std::nullopt;
  return Compression::kNone;
}

absl::StatusOr<std::unique_ptr<Decompressor>> Decompressor::Create(Compression kind) {
  WEIR_CHECK(kind != Compression::kNone);
  return kind == Compression::kGzip ? Make<GzipDecompressor>(kind) : Make<ZstdDecompressor>(kind);
}

absl::StatusOr<size_t> Decompressor::Decode(std::string_view& in, char* out, size_t room) {
  if (!error_.ok()) return error_;
  size_t written = 0;
  while (written < room) {
    const char* error = nullptr;
    if (at_boundary_) {
      if (had_member_ && !SkipPadding(in)) error = "data after zero padding";
      if (in.empty()) break;
    }
    if (in.empty() && !may_hold_back_) break;  // zstd takes many calls for nothing as damage
    if (error == nullptr) {
      const size_t space = room - written;
      const Step step = Advance(in, out + written, space);
      may_hold_back_ = step.written == space;
      in.remove_prefix(step.taken);
      written += step.written;
      at_boundary_ = step.closed_member;
      had_member_ |= step.closed_member;
      error = step.error;
      if (error == nullptr && step.taken == 0 && step.written == 0 && !step.closed_member) break;
    }
    if (error != nullptr) {
      error_ = absl::DataLossError(error);
      if (written == 0) return error_;
      break;
    }
  }
  return written;
}

}  // namespace weir
