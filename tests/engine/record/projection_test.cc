#include "engine/record/projection.h"

#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/window/window.h"
#include "gtest/gtest.h"

// The allocations that may decline are simdjson's; here they can be made to.
std::atomic<bool> g_no_memory{false};
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  if (g_no_memory) return nullptr;
  try {
    return ::operator new[](size);
  } catch (...) {
    return nullptr;
  }
}

namespace weir {
namespace {

constexpr BatchClock kNoLimit{.quarantine_after_ms = kForever};

// Documents in, the one column out, as a text that a person can check: "-" absent, "<…>" a text, [..] a list, a number, yes/no.
class Projection {
 public:
  explicit Projection(ProjectionSpec spec) : spec_(std::move(spec)) {
    auto plan = MakeProjectionPlan(spec_);
    EXPECT_TRUE(plan.ok()) << plan.status();
    projector_ = std::make_unique<Projector>(*plan);
    out_.partitions = std::make_shared<std::vector<PartitionName>>(std::vector<PartitionName>{{"tweets", 7}});
  }

  Chunk& chunk() { return chunk_; }
  void Add(std::string_view document, int64_t offset = 0, int64_t timestamp_ms = kNoTimestamp) {
    const size_t at = chunk_.Append(document);
    chunk_.records.push_back({.begin = at, .size = static_cast<uint32_t>(document.size()), .partition = 0, .offset = offset,
                              .timestamp_ms = timestamp_ms});
  }
  const ProjectedChunk& Run(const BatchClock& clock = kNoLimit) {
    out_.Clear();
    projector_->Project(chunk_, clock, out_);
    chunk_.Clear();
    return out_;
  }
  const ProjectedChunk& Run(std::string_view document, const BatchClock& clock = kNoLimit) {
    Add(document);
    return Run(clock);
  }
  std::string Value(std::string_view document, size_t column = 0) {
    Run(document);
    if (out_.records[0].kind == RecordKind::kInvalid) return "invalid: " + out_.rejects[0].reason;
    return Show(column, 0);
  }
  std::string Show(size_t column, uint32_t row) const {
    const Column& c = out_.columns[column];
    switch (c.type) {
      case ColumnType::kText: return c.text(row).data() == nullptr ? "-" : "<" + std::string(c.text(row)) + ">";
      case ColumnType::kTextList: {
        std::string text = "[";
        for (std::string_view item : c.list(row)) text += (text.size() > 1 ? "," : "") + std::string(item);
        return text + "]";
      }
      case ColumnType::kInt: return c.integer(row) ? std::to_string(*c.integer(row)) : "-";
      case ColumnType::kExists: return c.exists(row) ? "yes" : "no";
    }
    return "";
  }
  std::string Judge(std::string_view document) { return projector_->Judge(document); }

 private:
  const ProjectionSpec spec_;
  std::unique_ptr<Projector> projector_;
  Chunk chunk_;
  ProjectedChunk out_;
};

Projection One(ColumnType type, std::vector<std::string> paths, bool full = false) {
  ProjectionSpec spec;
  spec.columns = {{type, std::move(paths)}};
  spec.validate_full = full;
  return Projection(std::move(spec));
}
Projection Text1(std::string path) { return One(ColumnType::kText, {std::move(path)}); }
Projection List1(std::string path) { return One(ColumnType::kTextList, {std::move(path)}); }

// ---- Paths.

TEST(ProjectionTest, KeysAreFoundInAnyOrderAndDepth) {
  Projection p = Text1("user.location");
  EXPECT_EQ(p.Value(R"({"user":{"location":"Oslo"}})"), "<Oslo>");
  EXPECT_EQ(p.Value(R"({"a":[{"user":{"location":"no"}}],"user":{"x":{"location":"no"},"location":"Oslo","y":1},"z":null})"), "<Oslo>");
  EXPECT_EQ(p.Value(R"( { "user" : { "location" : "Oslo" } } )"), "<Oslo>");
  EXPECT_EQ(p.Value(R"({"location":"no"})"), "-");
  EXPECT_EQ(p.Value(R"({"user.location":"no"})"), "-");
  EXPECT_EQ(p.Value(R"({"User":{"Location":"no"}})"), "-") << "names are compared byte by byte";
  EXPECT_EQ(p.Value(R"({})"), "-");
}

TEST(ProjectionTest, AKeyThatOnlyBeginsLikeTheWantedOneIsAnother) {
  Projection p = Text1("ab");
  EXPECT_EQ(p.Value(R"({"abc":"no","a":"no","":"no"})"), "-");
  EXPECT_EQ(p.Value(R"({"abc":"no","ab":"yes"})"), "<yes>");
}

TEST(ProjectionTest, AKeyMayBeEscapedInTheDocument) {
  EXPECT_EQ(Text1("text").Value(R"({"t\u0065xt":"yes"})"), "<yes>");
  EXPECT_EQ(Text1("text").Value(R"({"\u0074ext":"yes"})"), "<yes>");
  EXPECT_EQ(Text1("a/b").Value(R"({"a\/b":"yes"})"), "<yes>");
  EXPECT_EQ(Text1("naïve").Value(R"({"na\u00efve":"yes"})"), "<yes>");
  EXPECT_EQ(Text1("a\\.b").Value(R"({"a.b":"yes","a":{"b":"no"}})"), "<yes>") << "a backslash before a dot that belongs to a key";
}

// A key that ends in a backslash must not take one where that backslash escapes a quote for it.
TEST(ProjectionTest, AKeyWithABackslashIsItselfOnly) {
  Projection p = Text1("a\\\\");  // the key a\ .
  EXPECT_EQ(p.Value(R"({"a\\":"yes"})"), "<yes>");
  EXPECT_EQ(p.Value(R"({"a\"b":"no"})"), "-");
}

TEST(ProjectionTest, OfEqualKeysTheLastCounts) {
  Projection text = Text1("user.location");
  EXPECT_EQ(text.Value(R"({"user":{"location":"a","location":"b"}})"), "<b>");
  EXPECT_EQ(text.Value(R"({"user":{"location":"a"},"user":{"location":"b"}})"), "<b>");
  EXPECT_EQ(text.Value(R"({"user":{"location":"a"},"user":{"name":"b"}})"), "-") << "the whole first object is replaced";
  EXPECT_EQ(text.Value(R"({"user":{"location":"a"},"user":null})"), "-");
  EXPECT_EQ(text.Value(R"({"user":{"location":"a","location":null}})"), "-");
  EXPECT_EQ(text.Value(R"({"user":{"location":"a","loc\u0061tion":"b"}})"), "<b>") << "equal once unescaped";

  Projection list = List1("m[].name");
  EXPECT_EQ(list.Value(R"({"m":[{"name":"a"}],"m":[{"name":"b"},{"name":"c"}]})"), "[b,c]");
  EXPECT_EQ(list.Value(R"({"m":[{"name":"a"}],"m":7})"), "[]");
  EXPECT_EQ(list.Value(R"({"m":[{"name":"a","name":"b"},{"name":"c"}]})"), "[b,c]") << "inside an element too";
  EXPECT_EQ(list.Value(R"({"m":[{"name":"a"},{"name":"b","name":null},{"name":"c"}]})"), "[a,c]");

  Projection nested = List1("m[].tags[].t");
  EXPECT_EQ(nested.Value(R"({"m":[{"tags":[{"t":"a"}]},{"tags":[{"t":"b"},{"t":"c"}],"tags":[{"t":"d","t":"e"}]}]})"), "[a,e]");

  EXPECT_EQ(One(ColumnType::kExists, {"rt"}).Value(R"({"rt":{},"rt":null})"), "no");
  EXPECT_EQ(One(ColumnType::kInt, {"n"}).Value(R"({"n":1,"n":2})"), "2");
  EXPECT_EQ(One(ColumnType::kInt, {"n"}).Value(R"({"n":1,"n":"x"})"), "-");
}

TEST(ProjectionTest, TheFirstPathThatIsThereCounts) {
  Projection p = One(ColumnType::kTextList, {"ext.m[].n", "m[].n"});
  EXPECT_EQ(p.Value(R"({"m":[{"n":"a"}]})"), "[a]");
  EXPECT_EQ(p.Value(R"({"m":[{"n":"a"}],"ext":{"m":[{"n":"b"},{"n":"c"}]}})"), "[b,c]") << "whatever the order in the document";
  EXPECT_EQ(p.Value(R"({"ext":{"m":[]},"m":[{"n":"a"}]})"), "[]") << "an empty list is there";
  EXPECT_EQ(p.Value(R"({"ext":{"m":null},"m":[{"n":"a"}]})"), "[a]") << "a value of another type is absent";
  EXPECT_EQ(p.Value(R"({"ext":{},"m":[{"n":"a"}]})"), "[a]");
  Projection text = One(ColumnType::kText, {"a", "b", "c"});
  EXPECT_EQ(text.Value(R"({"c":"3","b":"2"})"), "<2>");
  EXPECT_EQ(text.Value(R"({"a":1,"b":"","c":"3"})"), "<>") << "an empty text is there";
}

TEST(ProjectionTest, AValueOfAnotherTypeIsAbsent) {
  for (const char* value : {"1", "null", "true", "{}", "[]", R"(["a"])", R"({"a":"b"})"})
    EXPECT_EQ(Text1("t").Value(std::string(R"({"t":)") + value + "}"), "-") << value;
  for (const char* value : {R"("1")", "null", "1.0", "1e3", "1E0", "9223372036854775808", "[1]", "true"})
    EXPECT_EQ(One(ColumnType::kInt, {"n"}).Value(std::string(R"({"n":)") + value + "}"), "-") << value;
  EXPECT_EQ(One(ColumnType::kInt, {"n"}).Value(R"({"n":-9223372036854775808})"), "-9223372036854775808");
  EXPECT_EQ(One(ColumnType::kInt, {"n"}).Value(R"({"n":-0})"), "0");
  for (const char* value : {"1", "null", R"("x")", "[]"})
    EXPECT_EQ(One(ColumnType::kExists, {"o"}).Value(std::string(R"({"o":)") + value + "}"), "no") << value;
  EXPECT_EQ(One(ColumnType::kExists, {"o"}).Value(R"({"o":{}})"), "yes");
  EXPECT_EQ(List1("m[].n").Value(R"({"m":{"n":"a"}})"), "[]") << "an object where an array is wanted";
  EXPECT_EQ(List1("m[].n").Value(R"({"m":[{"n":1},null,"x",7,[{"n":"no"}],{"n":"a"},{"n":["no"]},{"n":{"n":"no"}}]})"), "[a]");
  EXPECT_EQ(List1("m[]").Value(R"({"m":["a",1,null,["no"],{"no":"no"},"b"]})"), "[a,b]");
  EXPECT_EQ(Text1("a.b").Value(R"({"a":[{"b":"no"}]})"), "-") << "an array where an object is wanted";
}

// A path may end where another goes on, and two columns may share one.
TEST(ProjectionTest, OnePassServesAllColumns) {
  ProjectionSpec spec;
  spec.columns = {{ColumnType::kExists, {"a"}},  {ColumnType::kText, {"a.b"}},      {ColumnType::kText, {"a.b", "c"}},
                  {ColumnType::kText, {"c"}},    {ColumnType::kTextList, {"l[].x"}}, {ColumnType::kTextList, {"l[].y"}},
                  {ColumnType::kInt, {"a.n"}}};
  Projection p(spec);
  p.Add(R"({"l":[{"y":"1","x":"2"},{"x":"3"}],"c":"C","a":{"n":5,"b":"B"}})");
  p.Add(R"({"c":"only"})", 1);
  p.Add("no json", 2);
  p.Add(R"({"l":[{"x":"9"}]})", 3);
  p.Run();
  const std::vector<std::vector<std::string>> expected = {
      {"yes", "<B>", "<B>", "<C>", "[2,3]", "[1]", "5"},
      {"no", "-", "<only>", "<only>", "[]", "[]", "-"},
      {"no", "-", "-", "-", "[]", "[]", "-"},  // nothing of one record shows in another
      {"no", "-", "-", "-", "[9]", "[]", "-"}};
  for (uint32_t row = 0; row < expected.size(); ++row)
    for (size_t column = 0; column < spec.columns.size(); ++column)
      EXPECT_EQ(p.Show(column, row), expected[row][column]) << "row " << row << " column " << column;
}

TEST(ProjectionTest, PathsThatCannotBeAreRefused) {
  const auto refused = [](ColumnType type, const std::string& path) {
    ProjectionSpec spec;
    spec.columns = {{type, {path}}};
    const auto plan = MakeProjectionPlan(spec);
    return !plan.ok() && plan.status().code() == absl::StatusCode::kInvalidArgument;
  };
  for (const char* path : {"", ".", "a.", ".a", "a..b", "a[0]", "a[", "a[]b", "[]", "a[][]", "a[].b", "@", "@nothing", "@header."})
    EXPECT_TRUE(refused(ColumnType::kText, path)) << path;
  for (const char* path : {"a", "a.b", "@key", "a[]."}) EXPECT_TRUE(refused(ColumnType::kTextList, path)) << path;
  EXPECT_TRUE(refused(ColumnType::kExists, "@key"));
  std::string deep = "a";
  for (int i = 0; i < 100; ++i) deep += ".a";
  EXPECT_TRUE(refused(ColumnType::kText, deep));
}

// ---- Strings.

TEST(ProjectionTest, EscapesAreResolved) {
  Projection p = Text1("t");
  EXPECT_EQ(p.Value(R"({"t":"\"\\\/\b\f\n\r\t"})"), "<\"\\/\b\f\n\r\t>");
  EXPECT_EQ(p.Value(R"({"t":"\u00e5\u00C5\u20ac"})"), "<åÅ€>");
  EXPECT_EQ(p.Value(R"({"t":"\ud83d\ude00"})"), "<😀>");
  EXPECT_EQ(p.Value(R"({"t":"\u0000x"})"), std::string("<\0x>", 4));
  EXPECT_EQ(p.Value(R"({"t":"東京 😀"})"), "<東京 😀>");
}

TEST(ProjectionTest, ALoneSurrogateBecomesTheReplacementCharacter) {
  Projection p = Text1("t");
  EXPECT_EQ(p.Value(R"({"t":"\ud83d"})"), "<\uFFFD>");
  EXPECT_EQ(p.Value(R"({"t":"\ude00"})"), "<\uFFFD>");
  EXPECT_EQ(p.Value(R"({"t":"\ud83dx"})"), "<\uFFFDx>");
  EXPECT_EQ(p.Value(R"({"t":"\ud83d\n"})"), "<\uFFFD\n>");
  EXPECT_EQ(p.Value(R"({"t":"\ude00\ud83d"})"), "<\uFFFD\uFFFD>");
  EXPECT_EQ(p.Value(R"({"t":"\ud83d\ud83d\ude00"})"), "<\uFFFD😀>");
  EXPECT_EQ(p.Value(R"({"t":"\ud83d\u0041"})"), "<\uFFFDA>");
}

TEST(ProjectionTest, ABadEscapeInAFieldThatIsReadIsInvalid) {
  for (const char* text : {R"(\x)", R"(\u12)", R"(\u12g4)", R"(\u-123)", R"(\u+123)", R"(\U0041)", R"(\')", R"(\0)", R"(\u 123)"})
    EXPECT_EQ(Text1("t").Value(std::string(R"({"t":")") + text + "\"}"), "invalid: a bad escape in a string at byte 5") << text;
}

// Eight bytes are copied at a time: every length and every place of a quote, an escape and what looks like one.
TEST(ProjectionTest, StringsOfEveryLengthComeWhole) {
  Projection p = Text1("t");
  for (size_t before = 0; before < 20; ++before)
    for (size_t length = 0; length < 80; ++length)
      for (const auto& [raw, plain] : std::vector<std::pair<std::string, std::string>>{
               {"", ""}, {R"(\n)", "\n"}, {R"(\")", "\""}, {R"(\\)", "\\"}, {"\xC2\xA2", "\xC2\xA2"}}) {
        const std::string fill(length, '!');  // next to the quote, 0x21: the classic false hit of byte-wise subtraction
        const std::string doc = "{" + std::string(before, ' ') + R"("t":")" + fill + raw + fill + "\"}";
        ASSERT_EQ(p.Value(doc), "<" + fill + plain + fill + ">") << doc;
      }
}

TEST(ProjectionTest, ALongStringLivesAsLongAsItsChunk) {
  Projection p = Text1("t");
  const std::string longer(300'000, 'x');
  p.Add(R"({"t":"first"})");
  p.Add(R"({"t":")" + longer + R"("})", 1);
  p.Add(R"({"t":"last"})", 2);
  p.Run();
  EXPECT_EQ(p.Show(0, 0), "<first>");
  EXPECT_EQ(p.Show(0, 1), "<" + longer + ">");
  EXPECT_EQ(p.Show(0, 2), "<last>");
}

// ---- Validity.

struct Verdict {
  const char* document;
  bool fast, full;
};

// The field "t" is read, all else is not.
const Verdict kVerdicts[] = {
    {R"({})", true, true},
    {R"({"a":[1,2.5e-3,{"b":null}],"c":true})", true, true},
    {R"({"t":"x"} )", true, true},
    {"{\"t\":\t\"x\"\r\n}\n", true, true},
    {R"([])", false, false},
    {R"("t")", false, false},
    {R"(null)", false, false},
    {R"()", false, false},
    {R"(   )", false, false},
    {R"({)", false, false},
    {R"(})", false, false},
    {R"({"a")", false, false},
    {R"({"a":)", false, false},
    {R"({"a":1)", false, false},
    {R"({"a":1,})", false, false},
    {R"({,})", false, false},
    {R"({"a" 1})", false, false},
    {R"({"a"::1})", false, false},
    {R"({"a":1 "b":2})", false, false},
    {R"({"a":1;"b":2})", false, false},
    {R"({1:2})", false, false},
    {R"({a:2})", false, false},
    {R"({'a':2})", false, false},
    {R"({"a":})", false, false},
    {R"({"a":1}{})", false, false},
    {R"({"a":1},)", false, false},
    {R"({"a":1}])", false, false},
    {R"({"a":[1})", false, false},
    {R"({"a":[1}])", false, false},
    {R"({"a":{"b":1]})", false, false},
    {R"({"a":[[]})", false, false},
    {R"({"a":"x)", false, false},
    {"{\"a\":\"\x01\"}", false, false},
    {"{\"a\":\"\xff\"}", false, false},
    {"{\"a\":\"\xed\xa0\x80\"}", false, false},  // a surrogate in UTF-8
    {"{\"a\":\"\xc0\xaf\"}", false, false},      // overlong
    {"{\"a\":\"\xf4\x90\x80\x80\"}", false, false},  // beyond U+10FFFF
    // What the fields that are read hold is judged always,
    {R"({"t":tru})", false, false},
    {R"({"t":01})", false, false},
    {R"({"t":1.})", false, false},
    {R"({"t":.5})", false, false},
    {R"({"t":+1})", false, false},
    {R"({"t":-})", false, false},
    {R"({"t":1e})", false, false},
    {R"({"t":NaN})", false, false},
    {R"({"t":"\q"})", false, false},
    {R"({"t":[1,]})", false, false},
    {R"({"t":[1 2]})", false, false},
    {R"({"t":{"x" 1}})", false, false},
    {R"({"t":{"x":1,}})", false, false},
    {R"({"t":nullx})", false, false},
    // what the others hold only in "full".
    {R"({"a":"\q"})", true, false},
    {R"({"\q":1})", true, false},
    {R"({"a":[1,]})", true, false},
    {R"({"a":[1 2]})", true, false},
    {R"({"a":[,1]})", true, false},
    {R"({"a":{"x" 1}})", true, false},
    {R"({"a":{"x":01}})", true, false},
    {R"({"a":[tru]})", true, false},
    {R"({"a":["\u12"]})", true, false},
};

TEST(ProjectionTest, FastAndFullJudgeAsDocumented) {
  Projection fast = One(ColumnType::kText, {"t"}, false), full = One(ColumnType::kText, {"t"}, true);
  for (const Verdict& v : kVerdicts) {
    EXPECT_EQ(fast.Judge(v.document).empty(), v.fast) << "fast: " << v.document << ": " << fast.Judge(v.document);
    EXPECT_EQ(full.Judge(v.document).empty(), v.full) << "full: " << v.document << ": " << full.Judge(v.document);
  }
}

std::string Nested(int depth, char open) {
  const std::string opening = open == '[' ? "[" : R"({"t":)", closing = open == '[' ? "]" : "}";
  std::string doc = R"({"t":)";
  for (int i = 1; i < depth; ++i) doc += opening;
  if (open == '{') doc += "1";
  for (int i = 1; i < depth; ++i) doc += closing;
  return doc + "}";
}

// 1,024 is the deepest, whether the nesting is in a field that is read, walked through or passed over.
TEST(ProjectionTest, DeeperThan1024IsInvalid) {
  for (bool full : {false, true})
    for (const char* path : {"t", "other", "t.t.t.x"})
      for (char open : {'[', '{'}) {
        SCOPED_TRACE(testing::Message() << (full ? "full " : "fast ") << path << " " << open);
        Projection p = One(ColumnType::kText, {path}, full);
        EXPECT_EQ(p.Judge(Nested(1024, open)), "");
        EXPECT_EQ(p.Judge(Nested(1025, open)), "nested deeper than 1,024");
        EXPECT_EQ(p.Judge(Nested(200'000, open)), "nested deeper than 1,024");
        EXPECT_NE(p.Judge(R"({"t":)" + std::string(200'000, open == '[' ? '[' : '{')), "");
      }
}

TEST(ProjectionTest, ARejectSaysWhyAndWhereAndKeepsThePayload) {
  Projection p = Text1("t");
  const std::string big = R"({"t":"\q)" + std::string(10'000, 'x') + R"("})";
  p.Add(R"({"t":"ok"})");
  p.Add(big, 1);
  p.Add(std::string("\x1f\x8b\x08\x00", 4), 2);
  const ProjectedChunk& out = p.Run();
  ASSERT_EQ(out.rejects.size(), 2u);
  EXPECT_EQ(out.rejects[0].row, 1u);
  EXPECT_EQ(out.rejects[0].reason, "a bad escape in a string at byte 5");
  EXPECT_EQ(out.rejects[0].payload, big.substr(0, kDeadLetterBytes));
  EXPECT_NE(out.rejects[1].reason.find("looks like gzip"), std::string::npos) << out.rejects[1].reason;
}

// Mutated documents: "full" accepts what simdjson's DOM accepts. Where they may differ is no grammar: the DOM refuses numbers
// that its types cannot hold, and lone surrogates. What "full" accepts, "fast" accepts.
TEST(ProjectionTest, FullAgreesWithTheDomOnMutatedDocuments) {
  const std::string seeds[] = {
      R"({"created_at":"Wed Aug 27 13:08:45 +0000 2008","id":5,"t":"\"q\" \\ \u00e5","entities":{"hashtags":[{"text":"a","i":[0,2]}]}})",
      R"({"t":null,"a":[1,-2.5,3e2,true,false,null,[],{}],"b":{"c":{"d":[[["x"]]]}}})",
      R"({ "t" : [ { "x" : "y" } , 0.1 ] , "u" : -0 })",
      R"({"t":{"t":"東京"},"z":"\n\t\/"})"};
  const std::string pieces[] = {"{", "}", "[", "]", ",", ":", "\"", "\\", "\\n", "0", "1", "-", "+", ".", "e", "E1", "tru", "true", "null",
                                " ", "\n", "\t", "\x01", "\x7f", "\xc3", "\xa5", "\"a\":1", ",\"t\":2", "[]", "{}", "//", "'", "\\u00"};
  Projection full = One(ColumnType::kText, {"t", "b.c"}, true), fast = One(ColumnType::kText, {"t", "b.c"}, false);
  simdjson::dom::parser dom;
  int accepted = 0, refused = 0;
  for (uint32_t seed = 1; seed <= 60'000; ++seed) {
    std::mt19937 random(seed);
    std::string doc = seeds[random() % std::size(seeds)];
    for (uint32_t n = 1 + random() % 3; n > 0; --n) {
      const size_t at = random() % (doc.size() + 1);
      switch (random() % 4) {
        case 0: doc.insert(at, pieces[random() % std::size(pieces)]); break;
        case 1: doc.erase(at, 1 + random() % 3); break;
        case 2: doc.replace(at, std::min<size_t>(1, doc.size() - at), pieces[random() % std::size(pieces)]); break;
        default: {  // a piece of the document again, elsewhere
          const std::string piece = doc.substr(at, random() % 12);
          doc.insert(random() % (doc.size() + 1), piece);
        }
      }
      if (doc.empty()) doc = "{";
    }
    const std::string why = full.Judge(doc);
    simdjson::dom::element element;
    const auto error = dom.parse(simdjson::padded_string(doc)).get(element);
    const bool dom_accepts = error == simdjson::SUCCESS && element.is_object();
    const auto longest_digits = [&doc] {
      size_t longest = 0, run = 0;
      for (char c : doc) longest = std::max(longest, run = c >= '0' && c <= '9' ? run + 1 : 0);
      return longest;
    };
    if (error == simdjson::NUMBER_ERROR && why.empty() && longest_digits() > 18) continue;
    if (error == simdjson::STRING_ERROR && why.empty() && doc.find("\\ud") != std::string::npos) continue;
    ASSERT_EQ(why.empty(), dom_accepts) << "seed " << seed << ": " << doc << "\nfull: " << why << "\nDOM: " << simdjson::error_message(error);
    ASSERT_TRUE(!why.empty() || fast.Judge(doc).empty()) << "seed " << seed << ": " << doc;
    ++(why.empty() ? accepted : refused);
  }
  EXPECT_GT(accepted, 5'000) << "both verdicts must be met often";
  EXPECT_GT(refused, 5'000);
}

// ---- Time, filters, the message around the document.

ProjectionSpec Timed() {
  ProjectionSpec spec;
  spec.columns = {{ColumnType::kText, {"t"}}};
  spec.times = {{"timestamp_ms", TimeEncoding::kMillis}, {"created_at", TimeEncoding::kTwitter}};
  return spec;
}

TEST(ProjectionTest, TheFirstUsableTimeCounts) {
  Projection p(Timed());
  const auto time = [&](std::string_view doc) -> std::optional<int64_t> {
    const ProjectedChunk& out = p.Run(doc);
    if (out.records[0].kind == RecordKind::kNoTime) return std::nullopt;
    EXPECT_EQ(out.records[0].kind, RecordKind::kTimed);
    return out.records[0].time_ms;
  };
  EXPECT_EQ(time(R"({"timestamp_ms":"1430429640123"})"), 1'430'429'640'123);
  EXPECT_EQ(time(R"({"timestamp_ms":1430429640123})"), 1'430'429'640'123);
  EXPECT_EQ(time(R"({"created_at":"Wed Aug 27 13:08:45 +0000 2008","timestamp_ms":"5"})"), 5);
  EXPECT_EQ(time(R"({"created_at":"Wed Aug 27 13:08:45 +0000 2008","timestamp_ms":"soon"})"), 1'219'842'525'000);
  EXPECT_EQ(time(R"({"created_at":"Wed Aug 27 13:08:45 +0000 2008","timestamp_ms":null})"), 1'219'842'525'000);
  EXPECT_EQ(time(R"({"timestamp_ms":5,"timestamp_ms":"soon"})"), std::nullopt) << "of equal keys the last counts";
  EXPECT_EQ(time(R"({"timestamp_ms":-5})"), -5);
  EXPECT_EQ(time(R"({"timestamp_ms":1.5})"), std::nullopt);
  EXPECT_EQ(time(R"({"delete":{"status":{}}})"), std::nullopt);
}

TEST(ProjectionTest, ATimeBeyondTheLimitIsQuarantinedWithItsReason) {
  Projection p(Timed());
  p.Add(R"({"timestamp_ms":1000})");
  p.Add(R"({"timestamp_ms":1001})", 1);
  const ProjectedChunk& out = p.Run({.quarantine_after_ms = 1000});
  EXPECT_EQ(out.records[0].kind, RecordKind::kTimed);
  EXPECT_EQ(out.records[1].kind, RecordKind::kQuarantined);
  ASSERT_EQ(out.rejects.size(), 1u);
  EXPECT_EQ(out.rejects[0].payload, R"({"timestamp_ms":1001})");
}

TEST(ProjectionTest, BrokerTimeAndProcessingTimeNeedNoField) {
  ProjectionSpec spec;
  spec.broker_time = true;
  Projection broker(spec);
  broker.Add("{}", 0, 77);
  broker.Add("{}", 1);
  const ProjectedChunk& out = broker.Run();
  EXPECT_EQ(out.records[0].time_ms, 77);
  EXPECT_EQ(out.records[1].kind, RecordKind::kNoTime) << "a message without a timestamp";

  Projection processing((ProjectionSpec()));
  EXPECT_EQ(processing.Run("{}", {.quarantine_after_ms = kForever, .fixed_time_ms = 123}).records[0].time_ms, 123);
}

TEST(ProjectionTest, TrackAndLangFilter) {
  ProjectionSpec spec = Timed();
  spec.columns.push_back({ColumnType::kText, {"lang"}});
  spec.text_column = 0;
  spec.lang_column = 1;
  spec.track = {"rain", "snow"};
  spec.langs = {"en", "no"};
  Projection p(spec);
  const auto filtered = [&](std::string_view doc) { return p.Run(doc).records[0].filtered; };
  EXPECT_FALSE(filtered(R"({"timestamp_ms":1,"t":"heavy RAIN","lang":"en"})"));
  EXPECT_FALSE(filtered(R"({"timestamp_ms":1,"t":"snowing","lang":"no"})"));
  EXPECT_TRUE(filtered(R"({"timestamp_ms":1,"t":"sun","lang":"en"})"));
  EXPECT_TRUE(filtered(R"({"timestamp_ms":1,"t":"rain","lang":"de"})"));
  EXPECT_TRUE(filtered(R"({"timestamp_ms":1,"t":"rain","lang":"EN"})"));
  EXPECT_TRUE(filtered(R"({"timestamp_ms":1,"t":"rain"})"));
  EXPECT_TRUE(filtered(R"({"timestamp_ms":1,"lang":"en"})"));
}

TEST(ProjectionTest, TheMessageAroundTheDocumentIsAFieldToo) {
  ProjectionSpec spec;
  for (const char* path : {"@key", "@topic", "@partition", "@offset", "@timestamp", "@header.trace"})
    spec.columns.push_back({ColumnType::kText, {path}});
  spec.columns.push_back({ColumnType::kInt, {"@offset"}});
  spec.columns.push_back({ColumnType::kText, {"t", "@key"}});
  spec.times = {{"@header.when", TimeEncoding::kAuto}, {"@timestamp", TimeEncoding::kMillis}};
  Projection p(spec);
  const auto header = [](std::string_view name, std::string_view value) {
    std::string bytes;
    for (std::string_view piece : {name, value}) {
      const uint32_t size = static_cast<uint32_t>(piece.size());
      bytes.append(reinterpret_cast<const char*>(&size), sizeof size).append(piece);
    }
    return bytes;
  };
  const auto attach = [&](std::optional<std::string> key, const std::string& headers) {
    RawRecord& raw = p.chunk().records.back();
    if (key) {
      raw.key_begin = p.chunk().Append(*key);
      raw.key_size = static_cast<uint32_t>(key->size());
      raw.has_key = true;
    }
    raw.headers_begin = p.chunk().Append(headers);
    raw.headers_size = static_cast<uint32_t>(headers.size());
  };
  p.Add("{}", 41, 1'430'429'640'000);
  attach("k1", header("trace", "a") + header("other", "x") + header("trace", "b"));
  p.Add(R"({"t":"own"})", 42, 5);
  attach(std::nullopt, header("trace", "") + header("when", "2015-04-30T21:34:00Z"));
  p.Add("{}", 43);
  attach("\xff", header("trace", "\xff"));
  p.Add("{}", 44, 6);
  attach("", std::string("\x05\x00\x00\x00tr", 6));  // cut headers
  const ProjectedChunk& out = p.Run();
  const std::vector<std::vector<std::string>> expected = {
      {"<k1>", "<tweets>", "<7>", "<41>", "<1430429640000>", "<b>", "41", "<k1>"},  // of equal headers the last counts
      {"-", "<tweets>", "<7>", "<42>", "<5>", "<>", "42", "<own>"},
      {"-", "<tweets>", "<7>", "<43>", "-", "-", "43", "-"},  // not UTF-8: absent
      {"<>", "<tweets>", "<7>", "<44>", "<6>", "-", "44", "<>"}};
  for (uint32_t row = 0; row < expected.size(); ++row)
    for (size_t column = 0; column < expected[row].size(); ++column)
      EXPECT_EQ(p.Show(column, row), expected[row][column]) << "row " << row << " column " << column;
  EXPECT_EQ(out.records[0].time_ms, 1'430'429'640'000);
  EXPECT_EQ(out.records[1].time_ms, 1'430'429'640'000);
  EXPECT_EQ(out.records[2].kind, RecordKind::kNoTime);
}

// A dead letter is for good: memory that is short for a moment must not make one of a valid record.
TEST(ProjectionTest, MemoryThatRunsOutMakesNoDeadLetter) {
  Projection projection = Text1("n");
  const std::string large = R"({"t":1,"n":")" + std::string(1 << 20, 'x') + "\"}";
  projection.Add(large);
  g_no_memory = true;
  EXPECT_THROW(projection.Run(), std::bad_alloc);
  g_no_memory = false;
}

}  // namespace
}  // namespace weir
