// engine/source/decompress.h: gzip and zstd as streams, recognised by their first bytes.
//
// Joined members (gzip) and frames (zstd) are read through, as gzip(1) and zstd(1) do.
#ifndef WEIR_ENGINE_SOURCE_DECOMPRESS_H_
#define WEIR_ENGINE_SOURCE_DECOMPRESS_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

namespace weir {

enum class Compression { kNone, kGzip, kZstd };

// "plain", "gzip", "zstd".
std::string_view CompressionName(Compression kind);

// What the first bytes of a stream say. nullopt: `head` is too short to tell (four bytes always suffice).
std::optional<Compression> DetectCompression(std::string_view head);

// Not thread-safe.
class Decompressor {
 public:
  // REQUIRES: kind != kNone. Errors: kResourceExhausted (no memory for the library's state).
  static absl::StatusOr<std::unique_ptr<Decompressor>> Create(Compression kind);
  virtual ~Decompressor() = default;

  // Decodes from the front of `in`, which is shortened by what was taken, and returns the number of bytes
  // written to `out`; 0 means that it needs more input. Call it with an empty `in` too: it may hold back what
  // had no room. REQUIRES: room > 0. Errors: kDataLoss with the library's word for it, after all that
  // precedes the damage was returned; it stays.
  absl::StatusOr<size_t> Decode(std::string_view& in, char* out, size_t room);

  // True between members or frames: the only place where the input may end.
  bool at_boundary() const { return at_boundary_; }

 protected:
  struct Step {
    size_t taken = 0, written = 0;
    const char* error = nullptr;
    bool closed_member = false;
  };
  // One call of the library. REQUIRES: room > 0.
  virtual Step Advance(std::string_view in, char* out, size_t room) = 0;
  // Cuts what may lie between two members. False: these bytes cannot follow a member.
  virtual bool SkipPadding(std::string_view& in) = 0;

 private:
  absl::Status error_;
  bool at_boundary_ = true;
  bool had_member_ = false;
  bool may_hold_back_ = false;  // the last step filled all room
};

}  // namespace weir

#endif  // WEIR_ENGINE_SOURCE_DECOMPRESS_H_
