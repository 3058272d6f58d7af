#include "engine/window/pane_blob.h"

#include <map>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace weir {
namespace {

template <class A>
using TableOf = KeyTable<typename A::Partial>;

template <class A>
TableOf<A> MakeTable(const std::map<std::string, int64_t>& values) {
  TableOf<A> table;
  for (const auto& [key, value] : values)
    A::Combine(A::Lift(value), table.FindOrAdd(key, HashKey(key), A::kIdentity).value);
  return table;
}
template <class A>
std::map<std::string, int64_t> Content(const TableOf<A>& table) {
  std::map<std::string, int64_t> content;
  for (const auto& e : table.entries()) content[std::string(e.key())] = A::Lower(e.value);
  return content;
}

const std::map<std::string, int64_t> kValues = {
    {"", 5}, {"oslo", -3}, {std::string("a\0b", 3), INT64_MAX}, {"東京", INT64_MIN}, {std::string(300, 'k'), 0}};

TEST(PaneBlobTest, WhatWasEncodedComesBack) {
  TableOf<Sum> table;
  int64_t records = 2;
  ASSERT_TRUE(DecodePane<Sum>(EncodePane<Sum>(MakeTable<Sum>(kValues), 40), table, records));
  EXPECT_EQ(Content<Sum>(table), kValues);
  EXPECT_EQ(records, 42);
  TableOf<Max> greatest;
  ASSERT_TRUE(DecodePane<Max>(EncodePane<Max>(MakeTable<Max>(kValues), 1), greatest, records));
  EXPECT_EQ(Content<Max>(greatest), kValues);
}

// What a commit stores is what was added since the last one: deltas combine.
TEST(PaneBlobTest, BlobsOfOnePaneCombine) {
  TableOf<Sum> table;
  int64_t records = 0;
  ASSERT_TRUE(DecodePane<Sum>(EncodePane<Sum>(MakeTable<Sum>({{"a", 1}, {"b", 2}}), 2), table, records));
  ASSERT_TRUE(DecodePane<Sum>(EncodePane<Sum>(MakeTable<Sum>({{"b", 5}, {"c", 7}}), 3), table, records));
  EXPECT_EQ(Content<Sum>(table), (std::map<std::string, int64_t>{{"a", 1}, {"b", 7}, {"c", 7}}));
  EXPECT_EQ(records, 5);
}

TEST(PaneBlobTest, AnEmptyPaneIsABlobToo) {
  TableOf<Count> table;
  int64_t records = 0;
  EXPECT_TRUE(DecodePane<Count>(EncodePane<Count>({}, 0), table, records));
  EXPECT_TRUE(table.empty());
}

TEST(PaneBlobTest, EveryFlippedBitAndEveryCutIsFound) {
  const std::string blob = EncodePane<Sum>(MakeTable<Sum>(kValues), 9);
  for (size_t bit = 0; bit < blob.size() * 8; ++bit) {
    std::string damaged = blob;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    TableOf<Sum> table;
    int64_t records = 0;
    EXPECT_FALSE(DecodePane<Sum>(damaged, table, records)) << "bit " << bit;
  }
  for (size_t size = 0; size < blob.size(); ++size) {
    TableOf<Sum> table;
    int64_t records = 0;
    EXPECT_FALSE(DecodePane<Sum>(std::string_view(blob).substr(0, size), table, records)) << "cut to " << size;
  }
}

// A checksum that fits does not make the content true: entries that are not there, keys longer than the blob.
TEST(PaneBlobTest, ContentThatLiesIsRefusedWithoutReadingPastTheEnd) {
  const auto refused = [](std::string blob) {
    SealPaneBlob(blob);
    TableOf<Sum> table;
    int64_t records = 0;
    return !DecodePane<Sum>(blob, table, records);
  };
  EXPECT_TRUE(refused(BeginPaneBlob(1, 0) + "rest")) << "bytes behind the last entry";
  std::string many = BeginPaneBlob(1, 0);
  many.pop_back();
  PutVarint(UINT64_MAX, many);
  EXPECT_TRUE(refused(many)) << "more entries than bytes";
  std::string long_key = BeginPaneBlob(1, 1);
  PutVarint(1 << 30, long_key);
  EXPECT_TRUE(refused(long_key + "abc")) << "a key beyond the end";
  std::string other_version = BeginPaneBlob(1, 0);
  other_version[0] = 2;
  EXPECT_TRUE(refused(other_version));
  std::string negative;
  negative.push_back(1);
  PutVarint(UINT64_MAX, negative);
  PutVarint(0, negative);
  EXPECT_TRUE(refused(negative)) << "a count of records beyond 63 bits";
}

TEST(PaneBlobTest, AnyBytesMayBeGiven) {
  std::mt19937 random(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (random() % 2 == 0) {
      if (!bytes.empty()) bytes[0] = 1;
      SealPaneBlob(bytes);  // past the checksum, into the entries
    }
    TableOf<Sum> table;
    int64_t records = 0;
    DecodePane<Sum>(bytes, table, records);  // the sanitizer builds look
    ASSERT_LT(table.size(), 50u);
  }
}

}  // namespace
}  // namespace weir
