#include "engine/window/aggregate.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

// A greatest value cannot be taken back: Max must slide by two stacks, and the compiler sees to it.
static_assert(!InvertibleAggregate<Max>);
struct NoIdentity {
  using Partial = int64_t;
};
static_assert(!Aggregate<NoIdentity>);
static_assert(UnZigZag(ZigZag(INT64_MIN)) == INT64_MIN && ZigZag(-1) == 1 && ZigZag(1) == 2);

template <class A>
class AggregateLaws : public testing::Test {};
using All = testing::Types<Count, Sum, Max>;
TYPED_TEST_SUITE(AggregateLaws, All);

template <class A>
typename A::Partial Fold(const std::vector<int64_t>& values) {
  typename A::Partial p = A::kIdentity;
  for (int64_t v : values) A::Combine(A::Lift(v), p);
  return p;
}

// The one law of the engine rests on these: any grouping and any order give the same partial.
TYPED_TEST(AggregateLaws, AnyOrderAndGroupingGiveTheSame) {
  using A = TypeParam;
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<int64_t> values(1 + random() % 20);
    for (int64_t& v : values) v = static_cast<int64_t>(random() >> (random() % 64));
    const auto whole = Fold<A>(values);
    const size_t cut = random() % values.size();
    auto right = Fold<A>({values.begin() + static_cast<ptrdiff_t>(cut), values.end()});
    A::Combine(Fold<A>({values.begin(), values.begin() + static_cast<ptrdiff_t>(cut)}), right);
    EXPECT_TRUE(right == whole);
    std::shuffle(values.begin(), values.end(), random);
    EXPECT_TRUE(Fold<A>(values) == whole);
    auto with_identity = whole;
    A::Combine(A::kIdentity, with_identity);
    EXPECT_TRUE(with_identity == whole);
    if constexpr (InvertibleAggregate<A>) {
      auto both = whole;
      A::Combine(Fold<A>(values), both);
      A::Invert(Fold<A>(values), both);
      EXPECT_TRUE(both == whole);
    }
  }
}

TYPED_TEST(AggregateLaws, SaveAndLoadGiveTheSameBack) {
  using A = TypeParam;
  for (int64_t v : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{127}, int64_t{128}, INT64_MAX, INT64_MIN, int64_t{-300}}) {
    auto partial = Fold<A>({v, v, v, -(v / 2)});
    std::string bytes;
    A::Save(partial, bytes);
    const std::string with_rest = bytes + "rest";
    std::string_view in = with_rest;
    typename A::Partial back{};
    ASSERT_TRUE(A::Load(in, back));
    EXPECT_TRUE(back == partial) << v;
    EXPECT_EQ(in, "rest") << "takes its own bytes only";
    for (size_t cut = 0; cut < bytes.size(); ++cut) {
      std::string_view part = std::string_view(bytes).substr(0, cut);
      EXPECT_FALSE(A::Load(part, back)) << "cut at " << cut;
    }
  }
}

// 2^63 - 1 twice does not fit a row; the partial is exact all the same, and comes back when half of it leaves.
TEST(SumTest, IsExactBeyond64BitsAndARowShowsTheNearest) {
  Sum::Partial p = Sum::kIdentity;
  Sum::Combine(Sum::Lift(INT64_MAX), p);
  Sum::Combine(Sum::Lift(INT64_MAX), p);
  EXPECT_EQ(Sum::Lower(p), INT64_MAX);
  std::string bytes;
  Sum::Save(p, bytes);
  std::string_view in = bytes;
  Sum::Partial back;
  ASSERT_TRUE(Sum::Load(in, back));
  Sum::Invert(Sum::Lift(INT64_MAX), back);
  EXPECT_EQ(Sum::Lower(back), INT64_MAX);
  Sum::Invert(Sum::Lift(INT64_MAX - 5), back);
  EXPECT_EQ(Sum::Lower(back), 5);

  Sum::Partial low = Sum::kIdentity;
  Sum::Combine(Sum::Lift(INT64_MIN), low);
  Sum::Combine(Sum::Lift(-1), low);
  EXPECT_EQ(Sum::Lower(low), INT64_MIN);
}

TEST(VarintTest, HasTheBytesOfProtocolBuffers) {
  const auto put = [](uint64_t v) {
    std::string out;
    PutVarint(v, out);
    return out;
  };
  EXPECT_EQ(put(0), std::string(1, '\0'));
  EXPECT_EQ(put(127), "\x7f");
  EXPECT_EQ(put(300), "\xac\x02");
  EXPECT_EQ(put(UINT64_MAX), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

TEST(VarintTest, RefusesWhatIsCutOrTooLong) {
  uint64_t value;
  for (std::string bytes : {std::string(), std::string("\x80"), std::string(9, '\xff'), std::string(10, '\xff'),
                            std::string(9, '\xff') + "\x02", std::string(20, '\x80')}) {
    std::string_view in = bytes;
    EXPECT_FALSE(TakeVarint(in, value)) << bytes.size() << " bytes";
  }
}

}  // namespace
}  // namespace weir
