#include "engine/window/sliding.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

// An aggregate that has an inverse slides by it; one without never pretends to.
static_assert(std::is_same_v<SlidingOf<Sum>::type, RunningTotal<Sum>>);
static_assert(std::is_same_v<SlidingOf<Max>::type, TwoStacks<Max>>);

using Rows = std::vector<std::pair<std::string, int64_t>>;

template <class Sliding, class A>
Rows Emit(Sliding& sliding, bool ordered) {
  Rows rows;
  sliding.ForEach(ordered, [&](std::string_view key, const typename A::Partial& p) { rows.emplace_back(key, A::Lower(p)); });
  return rows;
}

// One test body for every algorithm: Count and Sum by the running total and, as any monoid may, by two stacks.
template <class A_, class Sliding_>
struct Algorithm {
  using A = A_;
  using Sliding = Sliding_;
};
template <class T>
class SlidingTest : public testing::Test {};
using Algorithms = testing::Types<Algorithm<Count, RunningTotal<Count>>, Algorithm<Sum, RunningTotal<Sum>>,
                                  Algorithm<Sum, TwoStacks<Sum>>, Algorithm<Max, TwoStacks<Max>>>;
TYPED_TEST_SUITE(SlidingTest, Algorithms);

// Oracle: fold the panes inside again for each emission.
TYPED_TEST(SlidingTest, AgreesWithFoldingThePanesInside) {
  using A = typename TypeParam::A;
  using Sliding = typename TypeParam::Sliding;
  using Table = KeyTable<typename A::Partial>;
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const bool ordered = random() % 2 == 0;
    const uint32_t keys = 1 + random() % 40;
    Sliding sliding(random() % 3 == 0 ? 1 : 1 + random() % 300);  // what it is told of the window is no more than a hint
    std::deque<std::unique_ptr<Table>> inside;
    for (int step = 0; step < 120; ++step) {
      if (inside.empty() || random() % 100 < 55) {
        auto pane = std::make_unique<Table>();
        for (uint32_t n = random() % 30; n > 0; --n) {
          const std::string key = "k" + std::to_string(random() % keys + static_cast<uint32_t>(step) / 8);
          A::Combine(A::Lift(static_cast<int64_t>(random() % 9) - 4), pane->FindOrAdd(key, HashKey(key), A::kIdentity).value);
        }
        sliding.Enter(*pane);
        inside.push_back(std::move(pane));
      } else {
        sliding.Leave(*inside.front());
        inside.pop_front();
      }
      std::map<std::string, typename A::Partial> expected;
      for (const auto& pane : inside)
        for (const auto& e : pane->entries())
          A::Combine(e.value, expected.try_emplace(std::string(e.key()), A::kIdentity).first->second);
      ASSERT_EQ(sliding.keys(), expected.size()) << "a key with no pane left is forgotten";
      if (random() % 3 == 0) continue;  // windows without an emission in between
      Rows wanted;
      for (const auto& [key, p] : expected) wanted.emplace_back(key, A::Lower(p));
      Rows got = Emit<Sliding, A>(sliding, ordered);
      if (!ordered) std::sort(got.begin(), got.end());
      ASSERT_EQ(got, wanted) << "step " << step;
    }
  }
}

// State leaves with its window: fresh keys in every pane must not add up, neither in slots nor in key bytes.
TYPED_TEST(SlidingTest, MemoryFollowsTheLiveKeysNotAllThatEverWere) {
  using A = typename TypeParam::A;
  using Table = KeyTable<typename A::Partial>;
  typename TypeParam::Sliding sliding;
  std::deque<std::unique_ptr<Table>> inside;
  size_t after_warm_up = 0;
  for (int step = 0; step < 400; ++step) {
    auto pane = std::make_unique<Table>();
    for (int n = 0; n < 200; ++n) {
      const std::string key = "a key of some length that is never seen again " + std::to_string(step * 200 + n);
      A::Combine(A::Lift(1), pane->FindOrAdd(key, HashKey(key), A::kIdentity).value);
    }
    sliding.Enter(*pane);
    inside.push_back(std::move(pane));
    if (inside.size() > 5) {
      sliding.Leave(*inside.front());
      inside.pop_front();
    }
    sliding.ForEach(true, [](std::string_view, const auto&) {});
    if (step == 50) after_warm_up = sliding.bytes();
  }
  EXPECT_LE(sliding.bytes(), after_warm_up * 3 / 2);
}

// A value that comes late into a pane that has entered: the total follows, and leaves with the pane.
TEST(RunningTotalTest, AmendedValuesLeaveWithTheirPane) {
  RunningTotal<Sum> total;
  KeyTable<Sum::Partial> pane, late;
  const auto add = [](KeyTable<Sum::Partial>& table, std::string_view key, int64_t value) {
    bool added;
    Sum::Combine(Sum::Lift(value), table.FindOrAdd(key, HashKey(key), Sum::kIdentity, &added).value);
    return added;
  };
  add(pane, "oslo", 3);
  total.Enter(pane);
  add(late, "oslo", 4);
  add(late, "rome", 1);
  std::map<std::string, bool> is_new;
  for (const auto& e : late.entries())
    is_new[std::string(e.key())] = add(pane, e.key(), static_cast<int64_t>(e.value));
  total.Amend(pane, late, [&](const auto& e) { return is_new.at(std::string(e.key())); });
  EXPECT_EQ((Emit<RunningTotal<Sum>, Sum>(total, true)), (Rows{{"oslo", 7}, {"rome", 1}}));
  total.Leave(pane);
  EXPECT_EQ(total.keys(), 0u);
  EXPECT_EQ((Emit<RunningTotal<Sum>, Sum>(total, true)), Rows{});
}

// Max, counting its work.
struct Counted {
  using Partial = int64_t;
  static constexpr Partial kIdentity = INT64_MIN;
  static int64_t& combines() {
    static int64_t count = 0;
    return count;
  }
  static Partial Lift(int64_t v) { return v; }
  static void Combine(const Partial& from, Partial& into) {
    ++combines();
    into = std::max(into, from);
  }
  static int64_t Lower(const Partial& p) { return p; }
  static void Save(const Partial&, std::string&) {}
  static bool Load(std::string_view&, Partial&) { return false; }
};

// At most three visits for each (key, pane) entry, however long the window is: 50 times the panes, about the same work.
TEST(TwoStacksTest, WorkDoesNotGrowWithTheWindow) {
  const auto combines = [](size_t window) {
    Counted::combines() = 0;
    TwoStacks<Counted> stacks;
    std::deque<std::unique_ptr<KeyTable<int64_t>>> inside;
    for (int i = 0; i < 2000; ++i) {
      auto pane = std::make_unique<KeyTable<int64_t>>();
      pane->FindOrAdd("k", HashKey("k"), i);
      stacks.Enter(*pane);
      inside.push_back(std::move(pane));
      if (inside.size() > window) {
        stacks.Leave(*inside.front());
        inside.pop_front();
      }
    }
    return Counted::combines();
  };
  EXPECT_LE(combines(10), 2 * 2000);
  EXPECT_LE(combines(500), 2 * 2000);
}

// A window of 200 panes with 500 keys each holds 100,000 entries. Shards flip in different panes: no step walks more than a
// small part of them, neither while the first window fills nor later.
TEST(TwoStacksTest, NoSingleStepWalksTheWholeWindow) {
  constexpr size_t kPanes = 200, kKeysPerPane = 500;
  TwoStacks<Counted> stacks(kPanes);
  std::deque<std::unique_ptr<KeyTable<int64_t>>> inside;
  int64_t worst = 0;
  for (size_t i = 0; i < 4 * kPanes; ++i) {
    auto pane = std::make_unique<KeyTable<int64_t>>();
    for (size_t k = 0; k < kKeysPerPane; ++k) {
      const std::string key = "k" + std::to_string(k);
      pane->FindOrAdd(key, HashKey(key), static_cast<int64_t>(i * k % 1000));
    }
    Counted::combines() = 0;
    if (inside.size() == kPanes) {
      stacks.Leave(*inside.front());
      inside.pop_front();
    }
    stacks.Enter(*pane);
    worst = std::max(worst, Counted::combines());
    inside.push_back(std::move(pane));
  }
  EXPECT_LE(worst, static_cast<int64_t>(kPanes * kKeysPerPane / 10));
}

}  // namespace
}  // namespace weir
