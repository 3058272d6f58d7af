#include "engine/window/row_table.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

using Rows = std::vector<std::pair<std::string, int64_t>>;

RowTable Table(const Rows& rows) {
  RowTable table;
  for (const auto& [key, value] : rows) table.Add(key, value);
  return table;
}

Rows Content(const RowTable& table) {
  Rows rows;
  for (size_t i = 0; i < table.size(); ++i) rows.emplace_back(table.key(i), table.value(i));
  return rows;
}

Rows RankedRows(const RowTable& table, size_t limit) {
  Rows rows;
  for (const uint32_t i : table.Ranked(limit)) rows.emplace_back(table.key(i), table.value(i));
  return rows;
}

TEST(RowTableTest, RanksByValueDescendingThenKeyBytesAscending) {
  const RowTable table = Table({{"Oslo", 2}, {"Paris", 2}, {"Rome", 7}, {"oslo", 2}, {"Ärhus", 2}});
  EXPECT_EQ(RankedRows(table, 0), (Rows{{"Rome", 7}, {"Oslo", 2}, {"Paris", 2}, {"oslo", 2}, {"Ärhus", 2}}));
  EXPECT_EQ(RankedRows(table, 2), (Rows{{"Rome", 7}, {"Oslo", 2}}));
  EXPECT_EQ(RankedRows(table, 99).size(), 5u);
  EXPECT_TRUE(RankedRows(RowTable(), 3).empty());
}

// Key order is byte order: unsigned, a prefix before what it begins, NUL as any other byte.
TEST(RowTableTest, KeysAreComparedAsUnsignedBytes) {
  const std::string nul("a\0b", 3);
  const RowTable table = Table({{"\xff", 1}, {"ab", 1}, {nul, 1}, {"a", 1}, {"", 1}});
  EXPECT_EQ(RankedRows(table, 0), (Rows{{"", 1}, {"a", 1}, {nul, 1}, {"ab", 1}, {"\xff", 1}}));
}

TEST(RowTableTest, KeepTopKeepsTheFirstRanksInKeyOrder) {
  RowTable table = Table({{"a", 1}, {"b", 5}, {"c", 1}, {"d", 9}, {"e", 1}});
  table.KeepTop(3);
  EXPECT_EQ(Content(table), (Rows{{"a", 1}, {"b", 5}, {"d", 9}}));
  table.KeepTop(0);  // as in Ranked and --top: all
  EXPECT_EQ(table.size(), 3u);
  table.KeepTop(4);
  EXPECT_EQ(table.size(), 3u);
}

TEST(RowTableTest, KeepTopGivesMemoryBack) {
  RowTable table;
  for (int i = 0; i < 100'000; ++i) table.Add(std::string(20, 'k') + std::to_string(i), i);
  table.KeepTop(10);
  EXPECT_EQ(table.size(), 10u);
  EXPECT_LT(table.bytes(), 4096u);
}

// Oracle: std::sort over copied pairs. Few distinct values, so that keys decide often; with rows in key
// order, which is the short way, and without.
TEST(RowTableTest, AgreesWithSortingOnRandomRows) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    std::set<std::string> keys;
    const size_t count = random() % 300;
    while (keys.size() < count) {
      std::string key(random() % 6, '\0');
      for (char& c : key) c = static_cast<char>(random());
      keys.insert(key);
    }
    Rows rows;
    for (const std::string& key : keys) rows.emplace_back(key, static_cast<int64_t>(random() % 5) - 2);
    if (seed % 2 == 0) std::shuffle(rows.begin(), rows.end(), random);

    Rows expected = rows;
    std::sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    const size_t limit = random() % (count + 10);
    RowTable table = Table(rows);
    EXPECT_EQ(RankedRows(table, 0), expected);
    if (limit != 0 && limit < expected.size()) expected.resize(limit);
    EXPECT_EQ(RankedRows(table, limit), expected);

    table.KeepTop(limit);
    EXPECT_EQ(RankedRows(table, 0), expected);
    if (seed % 2 == 1) {
      const Rows kept = Content(table);
      EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(),
                                 [](const auto& a, const auto& b) { return a.first < b.first; }));
    }
  }
}

}  // namespace
}  // namespace weir
