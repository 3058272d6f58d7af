#include "apps/suggest.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(EditDistanceTest, CountsInsertDeleteReplaceAndSwap) {
  struct Case {
    const char *a, *b;
    size_t distance;
  };
  for (const Case& c : {Case{"", "", 0},
                        {"", "abc", 3},
                        {"abc", "", 3},
                        {"slide", "slide", 0},
                        {"slde", "slide", 1},
                        {"sliide", "slide", 1},
                        {"slyde", "slide", 1},
                        {"sldie", "slide", 1},
                        {"kitten", "sitting", 3},
                        {"WINDOW", "window", 0},
                        {"ab", "ba", 1},
                        {"ca", "abc", 3}}) {
    EXPECT_EQ(EditDistance(c.a, c.b), c.distance) << c.a << " / " << c.b;
    EXPECT_EQ(EditDistance(c.b, c.a), c.distance) << c.b << " / " << c.a;
  }
}

TEST(NearestTest, FindsWhatWasMeant) {
  const std::vector<std::string> known = {"tweets_by_location", "user_mentions", "hashtags"};
  EXPECT_EQ(Nearest("user_mention", known), "user_mentions");
  EXPECT_EQ(Nearest("hastags", known), "hashtags");
  EXPECT_EQ(Nearest("HASHTAGS", known), "hashtags");
  EXPECT_EQ(Nearest("tweets_by_loaction", known), "tweets_by_location");
  // Far from it by edits, but the beginning of exactly one.
  EXPECT_EQ(Nearest("tweets", known), "tweets_by_location");
}

TEST(NearestTest, SaysNothingWhenNothingIsNear) {
  const std::vector<std::string> known = {"--window", "--watermark-delay", "--to"};
  EXPECT_EQ(Nearest("--colour", known), "");
  EXPECT_EQ(Nearest("", known), "");
  EXPECT_EQ(Nearest("x", {}), "");
  EXPECT_EQ(Nearest("--w", known), "") << "the beginning of two";
  EXPECT_EQ(Nearest(std::string(100'000, 'x'), known), "");
}

// A word of one byte has nothing in common with another one of one byte.
TEST(NearestTest, ReplacingEveryByteIsNoResemblance) {
  const std::vector<std::string> known = {"a", "s"};
  EXPECT_EQ(Nearest("x", known), "");
}

TEST(NearestTest, OfEquallyNearOnesTheFirstCounts) {
  const std::vector<std::string> known = {"cat", "car"};
  EXPECT_EQ(Nearest("caz", known), "cat");
}

TEST(DidYouMeanTest, IsASentenceOrNothing) {
  const std::vector<std::string> known = {"run", "query"};
  EXPECT_EQ(DidYouMean("qurey", known), " Did you mean \"query\"?");
  EXPECT_EQ(DidYouMean("produce", known), "");
}

}  // namespace
}  // namespace weir
