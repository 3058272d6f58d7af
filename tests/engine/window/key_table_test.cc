#include "engine/window/key_table.h"

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

using Table = KeyTable<int64_t>;

std::map<std::string, int64_t> Content(const Table& table) {
  std::map<std::string, int64_t> content;
  for (const auto& e : table.entries()) EXPECT_TRUE(content.emplace(e.key(), e.value).second) << "a key twice";
  return content;
}

TEST(KeyTableTest, AKeyIsMadeOnceWithTheInitialValue) {
  Table table;
  bool added = false;
  table.FindOrAdd("oslo", HashKey("oslo"), 7, &added).value += 1;
  EXPECT_TRUE(added);
  EXPECT_EQ(table.FindOrAdd("oslo", HashKey("oslo"), 99, &added).value, 8);
  EXPECT_FALSE(added);
  EXPECT_EQ(table.size(), 1u);
}

// A caller's bytes last until the next document only.
TEST(KeyTableTest, KeysAreCopied) {
  Table table;
  std::string key = "paris";
  table.FindOrAdd(key, HashKey(key), 1);
  key.assign("xxxxx");
  EXPECT_EQ(table.entries()[0].key(), "paris");
}

TEST(KeyTableTest, TheEmptyKeyAndBytesOfAnyKindAreKeys) {
  Table table;
  const std::string nul("a\0b", 3);
  for (const std::string& key : {std::string(), nul, std::string("a"), std::string("\xff\xfe")})
    table.FindOrAdd(key, HashKey(key), static_cast<int64_t>(key.size()));
  EXPECT_EQ(Content(table), (std::map<std::string, int64_t>{{"", 0}, {nul, 3}, {"a", 1}, {"\xff\xfe", 2}}));
}

// Whoever prepares keys of one hash gets a slow table, not a wrong one.
TEST(KeyTableTest, KeysOfOneHashStayApart) {
  Table table;
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 300; ++i) table.FindOrAdd("key" + std::to_string(i), 42, 0).value += i;
  const auto content = Content(table);
  ASSERT_EQ(content.size(), 300u);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(content.at("key" + std::to_string(i)), 2 * i);
}

TEST(KeyTableTest, AgreesWithAMapThroughManyClears) {
  std::mt19937 random(3);
  Table table;
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(testing::Message() << "round " << round);
    std::map<std::string, int64_t> expected;
    const size_t values = random() % (round % 7 == 0 ? 20'000 : 50);
    for (size_t i = 0; i < values; ++i) {
      const std::string key(random() % 40, static_cast<char>('a' + random() % 26));
      const std::string longer = key + std::to_string(random() % 3000);
      expected[longer] += 1;
      table.FindOrAdd(longer, HashKey(longer), 0).value += 1;
    }
    ASSERT_EQ(Content(table), expected);
    table.Clear();
    ASSERT_TRUE(table.empty());
    ASSERT_EQ(table.size(), 0u);
  }
}

TEST(KeyTableTest, AHugeKeyIsKeptWhole) {
  Table table;
  const std::string huge(3 << 20, 'k');
  table.FindOrAdd("small", HashKey("small"), 1);
  table.FindOrAdd(huge, HashKey(huge), 2);
  table.FindOrAdd("later", HashKey("later"), 3);
  EXPECT_EQ(table.entries()[0].key(), "small");
  EXPECT_EQ(table.entries()[1].key(), huge);
  EXPECT_EQ(table.entries()[2].key(), "later");
}

TEST(ArenaTest, CopiesStayWhereTheyAre) {
  Arena arena;
  std::vector<std::pair<const char*, std::string>> copies;
  for (int i = 0; i < 5000; ++i) {
    std::string text(static_cast<size_t>(i % 90), static_cast<char>('a' + i % 26));
    copies.emplace_back(arena.Copy(text), text);
  }
  for (const auto& [at, text] : copies) ASSERT_EQ(std::string_view(at, text.size()), text);
  arena.Clear();
  const char* at = arena.Copy("again");
  EXPECT_EQ(std::string_view(at, 5), "again");
}

// Removal closes holes by moving others back: any order of additions and removals finds what is there, and nothing else.
// Hashes of few bits make long runs that wrap around the end.
TEST(HashIndexTest, FindsWhatIsThereAfterAnyAdditionsAndRemovals) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const uint32_t spread = 1 + random() % 64;
    std::vector<uint32_t> hashes(200);
    for (uint32_t& h : hashes) h = random() % spread + (random() % 2 ? 0xfffffff0u : 0u);
    const auto hash_of = [&](uint32_t number) { return hashes[number]; };
    HashIndex index;
    std::set<uint32_t> there;
    for (int step = 0; step < 600; ++step) {
      const uint32_t number = random() % 200;
      if (there.insert(number).second) {
        index.Add(hashes[number], number, hash_of);
      } else {
        there.erase(number);
        index.Remove(hashes[number], number, hash_of);
      }
      const uint32_t asked = random() % 200;
      const uint32_t found = index.Find(hashes[asked], [&](uint32_t n) { return n == asked; });
      ASSERT_EQ(found, there.count(asked) ? asked : HashIndex::kNone) << "step " << step;
    }
  }
}

// A sealed table gives back what it held in reserve, and still finds and takes keys: late values do come.
TEST(KeyTableTest, ASealedTableIsSmallAndStillTakesKeys) {
  KeyTable<int64_t> table;
  const auto add = [&table](int i) {
    const std::string key = "key" + std::to_string(i);
    bool added;
    ++table.FindOrAdd(key, HashKey(key), 0, &added).value;
    return added;
  };
  size_t key_bytes = 0;
  for (int i = 0; i < 50'000; ++i) {
    ASSERT_TRUE(add(i));
    key_bytes += ("key" + std::to_string(i)).size();
  }
  const size_t before = table.bytes();
  table.Seal();
  EXPECT_LT(table.bytes(), before);
  EXPECT_LE(table.bytes() - key_bytes, 50'000u * 28) << "24 bytes an entry, and an eighth in reserve";
  EXPECT_FALSE(add(7));
  EXPECT_FALSE(add(49'999));
  EXPECT_TRUE(add(50'000));
  EXPECT_FALSE(add(50'000));
  EXPECT_EQ(table.size(), 50'001u);
  int64_t sum = 0;
  for (const auto& e : table.entries()) sum += e.value;
  EXPECT_EQ(sum, 50'004);
}

}  // namespace
}  // namespace weir
