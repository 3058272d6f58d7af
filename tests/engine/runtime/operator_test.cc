#include "engine/runtime/operator.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/operators/harness.h"

namespace weir {
namespace {

constexpr WindowSpec kTen{.window_ms = 10, .slide_ms = 10};

Format TestFormat() {
  Format format = Json();
  format.times = {{"t", TimeEncoding::kMillis}};
  format.fields = {{"who", {"user.name", "name"}}};
  return format;
}

// Any bytes may stand in a key part, the separator of no encoding included: what was put together comes apart.
TEST(KeyPartsTest, WhatWasJoinedIsSplitAgain) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> parts(1 + random() % 4);
    std::string key;
    for (size_t i = 0; i < parts.size(); ++i) {
      parts[i].resize(random() % 8 == 0 ? 100 + random() % 200 : random() % 4);
      for (char& c : parts[i]) c = static_cast<char>(random() % 3);
      AppendKeyPart(parts[i], i + 1 == parts.size(), key);
    }
    std::vector<std::string_view> split(parts.size());
    SplitKey(key, split);
    for (size_t i = 0; i < parts.size(); ++i) ASSERT_EQ(split[i], parts[i]);
  }
}

TEST(KeyPartsTest, PartsCannotBeMistakenForEachOther) {
  const auto join = [](std::string_view a, std::string_view b) {
    std::string key;
    AppendKeyPart(a, false, key);
    AppendKeyPart(b, true, key);
    return key;
  };
  EXPECT_NE(join("ab", "c"), join("a", "bc"));
  EXPECT_NE(join("", "abc"), join("abc", ""));
}

TEST(SumByTest, SumsTheRowsByOneOfTheirKeyColumns) {
  const auto join = [](std::string_view status, std::string_view user) {
    std::string key;
    AppendKeyPart(status, false, key);
    AppendKeyPart(user, true, key);
    return key;
  };
  RowTable in;
  in.Add(join("1", "zoe"), 5);
  in.Add(join("1", "ana"), 7);
  in.Add(join("2", "ana"), 3);
  in.Add(join("2", "out"), 4);
  in.Add(join("3", "out"), -4);
  const RowStep step = SumBy("user", "mentions")({"status", "user"}, "weight");
  EXPECT_EQ(step.keys, std::vector<std::string>{"user"});
  EXPECT_EQ(step.value, "mentions");
  const RowTable out = step.run(in);
  ASSERT_EQ(out.size(), 2u) << "a sum of zero has no row";
  EXPECT_EQ(out.key(0), "ana");
  EXPECT_EQ(out.value(0), 10);
  EXPECT_EQ(out.key(1), "zoe");
  EXPECT_EQ(out.value(1), 5);
  EXPECT_EQ(step.run(RowTable()).size(), 0u);
}

TEST(SumByTest, IsExactBeyond64BitsInAnyOrder) {
  const RowStep step = SumBy("k", "v")({"n", "k"}, "w");
  RowTable in;
  for (const auto& [n, value] : std::vector<std::pair<std::string, int64_t>>{{"1", INT64_MAX}, {"2", INT64_MAX}, {"3", -INT64_MAX}}) {
    std::string key;
    AppendKeyPart(n, false, key);
    AppendKeyPart("a", true, key);
    in.Add(key, value);
  }
  EXPECT_EQ(step.run(in).value(0), INT64_MAX);
}

// All that a row can be asked, in one operator.
TEST(OperatorTest, ARowGivesItsFieldsTimeAndPlace) {
  Operator op = Define("seen", "what a row gives")
                    .Reads(Text("who"), TextList("tags[]", FieldNeed::kPath), Int("n", FieldNeed::kPath), Exists("o", FieldNeed::kPath),
                           Text("not there", FieldNeed::kOptional))
                    .Key("what")
                    .Counts("times")
                    .Map([](const auto& batch, auto& emit) {
                      for (const auto& row : batch) {
                        std::string seen(row.template get<0>());
                        for (std::string_view tag : row.template get<1>()) seen.append("#").append(tag);
                        if (row.template get<2>()) seen += " n=" + std::to_string(*row.template get<2>());
                        if (row.template get<3>()) seen += " o";
                        if (row.template get<4>().data() != nullptr) seen += " never";
                        seen += " " + row.partition().topic + "/" + std::to_string(row.partition().partition) + "@" +
                                std::to_string(row.offset()) + " " + std::to_string(row.event_time_ms());
                        emit(row, seen);
                      }
                    });
  OperatorHarness job(op, kTen, TestFormat());
  job.Feed({R"({"t":1,"name":"ana","tags":["x","y"],"n":-4,"o":{}})", R"({"t":2,"user":{"name":"bob"},"name":"no"})"});
  job.Feed({R"({"t":3})"}, 1);
  job.Finish();
  EXPECT_EQ(job.TakeRows(), R"(
window  what                         times
[0,10)   tweets/1@2 3                1
[0,10)  ana#x#y n=-4 o tweets/0@0 1  1
[0,10)  bob tweets/0@1 2             1
)");
}

Operator GreatestByPair() {
  return Define("pairs", "a chain")
      .Reads(Text("a", FieldNeed::kPath), Text("b", FieldNeed::kPath), Int("v", FieldNeed::kPath))
      .Key("a", "b")
      .Max("v")
      .Map([](const auto& batch, auto& emit) {
        for (const auto& row : batch) emit(row, row.template get<0>(), row.template get<1>(), row.template get<2>().value_or(0));
      })
      .Then(SumBy("b", "total"));
}

TEST(OperatorTest, AChainRunsOnTheRowsOfEachClosedWindow) {
  OperatorHarness job(GreatestByPair(), {.window_ms = 10, .slide_ms = 5}, TestFormat());
  job.Feed({R"({"t":1,"a":"1","b":"x","v":5})", R"({"t":6,"a":"1","b":"x","v":3})", R"({"t":6,"a":"2","b":"x","v":4})"});
  job.Feed({R"({"t":6,"a":"2","b":"y","v":1})"});
  job.Finish();
  EXPECT_EQ(job.TakeRows(), R"(
window  b  total
[-5,5)  x  5
[0,10)  x  9
[0,10)  y  1
[5,15)  x  7
[5,15)  y  1
)");
}

TEST(OperatorTest, TheOutputColumnsAreThoseOfTheLastStep) {
  const Operator op = GreatestByPair();
  EXPECT_EQ(op.name, "pairs");
  EXPECT_EQ(op.key_column, "b");
  EXPECT_EQ(op.value_column, "total");
  EXPECT_EQ(op.aggregate, "max as v by a, b, then sum of v as total by b");
  ASSERT_EQ(op.reads.size(), 3u);
  EXPECT_EQ(op.reads[2].type, ColumnType::kInt);
}

// Copies share the map function and nothing else: two stages of one operator do not know of each other.
TEST(OperatorTest, StagesOfOneOperatorAreApart) {
  const Operator op = GreatestByPair();
  OperatorHarness one(op, kTen, TestFormat()), other(op, kTen, TestFormat());
  one.Feed({R"({"t":1,"a":"1","b":"x","v":5})"});
  one.Finish();
  other.Finish();
  EXPECT_EQ(one.TakeRows(), "\nwindow  b  total\n[0,10)  x  5\n");
  EXPECT_EQ(other.TakeRows(), "\nwindow  b  total\n");
}

TEST(OperatorTest, RestoredStagesCloseTheSameWindows) {
  JobOptions options;
  options.format = TestFormat();
  const Operator op = GreatestByPair();
  const auto plan = PlanColumns(options, {op});
  ASSERT_TRUE(plan.ok()) << plan.status();
  const StageOptions stage_options{.spec = kTen, .keep_state = true, .columns = plan->columns[0]};
  const auto stage = op.make_stage(stage_options), restored = op.make_stage(stage_options);
  Projector projector(*MakeProjectionPlan(plan->projection));
  std::vector<std::unique_ptr<StageDelta>> deltas;
  deltas.push_back(stage->NewDelta());
  std::vector<PaneBlob> state;
  for (const char* doc : {R"({"t":1,"a":"1","b":"x","v":5})", R"({"t":1,"a":"1","b":"x","v":9})", R"({"t":1,"a":"2","b":"x","v":1})"}) {
    Chunk raw;
    const size_t at = raw.Append(doc);
    raw.records.push_back({.begin = at, .size = static_cast<uint32_t>(std::string_view(doc).size()), .partition = 0, .offset = 0});
    raw.Reserve(0);
    ProjectedChunk chunk;
    projector.Project(raw, {.quarantine_after_ms = kForever}, chunk);
    chunk.rows = {0};
    chunk.panes = {0};
    stage->Fold(chunk, *deltas[0]);
    stage->Merge(deltas, state);
  }
  ASSERT_EQ(state.size(), 3u);
  for (const PaneBlob& blob : state) ASSERT_TRUE(restored->RestorePane(blob.pane, blob.bytes));
  restored->Resume(5);
  std::vector<StageWindow> out, again;
  stage->Close(10, false, out, state);
  restored->Close(10, false, again, state);
  ASSERT_EQ(out.size(), 1u);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].records, 3);
  ASSERT_EQ(again[0].rows.size(), 1u);
  EXPECT_EQ(again[0].rows.key(0), "x");
  EXPECT_EQ(again[0].rows.value(0), 10);
  EXPECT_EQ(out[0].rows.value(0), 10);
}

}  // namespace
}  // namespace weir
