// engine/window/aggregate.h: the algebra of one value.
//
// An aggregate is a commutative monoid: panes, chunks and workers may be combined in any grouping and order. Invert,
// where it exists, makes the sliding total incremental; an aggregate without it slides by two stacks.
#ifndef WEIR_ENGINE_WINDOW_AGGREGATE_H_
#define WEIR_ENGINE_WINDOW_AGGREGATE_H_

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

template <class A>
concept Aggregate = requires(typename A::Partial& into, const typename A::Partial& from, std::string& out,
                             std::string_view& in) {
  { A::kIdentity } -> std::convertible_to<typename A::Partial>;
  { A::Lift(int64_t{}) } -> std::same_as<typename A::Partial>;  // one value
  { A::Combine(from, into) } -> std::same_as<void>;             // into = into + from
  { A::Lower(from) } -> std::same_as<int64_t>;                  // what the row shows
  { A::Save(from, out) } -> std::same_as<void>;                 // appends bytes
  { A::Load(in, into) } -> std::same_as<bool>;                  // takes bytes from the front; false: not from Save
};

template <class A>
concept InvertibleAggregate =
    Aggregate<A> && requires(typename A::Partial& into, const typename A::Partial& expired) {
      { A::Invert(expired, into) } -> std::same_as<void>;  // into = into - expired
    };

// Integers as varints: 7 bits a byte, low bits first, signs folded in (zigzag); the encoding of Protocol Buffers.
void PutVarint(uint64_t value, std::string& out);
bool TakeVarint(std::string_view& in, uint64_t& value);
constexpr uint64_t ZigZag(int64_t v) { return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63); }
constexpr int64_t UnZigZag(uint64_t v) { return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1); }

// Number of values.
struct Count {
  using Partial = int64_t;
  static constexpr Partial kIdentity = 0;
  static Partial Lift(int64_t) { return 1; }
  static void Combine(const Partial& from, Partial& into) { into += from; }
  static void Invert(const Partial& expired, Partial& into) { into -= expired; }
  static int64_t Lower(const Partial& p) { return p; }
  static void Save(const Partial& p, std::string& out) { PutVarint(ZigZag(p), out); }
  static bool Load(std::string_view& in, Partial& p);
};

// Sum of 64-bit integers. Kept in 128 bits, so that it is exact in any order; a row shows the nearest int64.
struct Sum {
  __extension__ typedef __int128 Partial;
  static constexpr Partial kIdentity = 0;
  static Partial Lift(int64_t v) { return v; }
  static void Combine(const Partial& from, Partial& into) { into += from; }
  static void Invert(const Partial& expired, Partial& into) { into -= expired; }
  static int64_t Lower(const Partial& p) {
    return p > INT64_MAX ? INT64_MAX : p < INT64_MIN ? INT64_MIN : static_cast<int64_t>(p);
  }
  static void Save(const Partial& p, std::string& out);
  static bool Load(std::string_view& in, Partial& p);
};

// Greatest value.
struct Max {
  using Partial = int64_t;
  static constexpr Partial kIdentity = INT64_MIN;
  static Partial Lift(int64_t v) { return v; }
  static void Combine(const Partial& from, Partial& into) {
    if (from > into) into = from;
  }
  static int64_t Lower(const Partial& p) { return p; }
  static void Save(const Partial& p, std::string& out) { PutVarint(ZigZag(p), out); }
  static bool Load(std::string_view& in, Partial& p);
};

static_assert(InvertibleAggregate<Count> && InvertibleAggregate<Sum>);
static_assert(Aggregate<Max> && !InvertibleAggregate<Max>);

}  // namespace weir

#endif  // WEIR_ENGINE_WINDOW_AGGREGATE_H_
