#include "engine/record/projection.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <new>
#include <optional>

#include "absl/container/inlined_vector.h"
#include "engine/record/event_time.h"
#include "engine/status_macros.h"
#include "engine/window/window.h"

namespace weir {
namespace {

enum class LeafKind { kText, kList, kInt, kExists, kTime };

struct Leaf {
  LeafKind kind;
  TimeEncoding encoding = TimeEncoding::kAuto;  // kTime
};

struct Node {
  struct Edge {
    std::string key;
    int child;
    uint64_t prefix = 0, mask = 0;  // the first eight bytes of `key` and its closing quote, as they stand in memory
  };
  std::vector<Edge> edges;
  uint64_t first_bytes = 0;        // bit (b & 63) of each edge's first byte, and of the backslash
  int element = -1;                // node of the elements of an array
  std::vector<int> leaves;         // leaves fed by a value here
  std::vector<int> opened_lists;   // lists that are present once an array is here
  std::vector<int> subtree;        // all leaves here and below
  bool in_array = false;
};

enum class Attribute { kKey, kTopic, kPartition, kOffset, kTimestamp, kHeader };

// Where a column's value comes from: a leaf of the trie, or the message around the document.
struct Origin {
  int leaf = -1;
  Attribute attribute = Attribute::kKey;
  std::string header;
};

// What is no beginning of a scalar.
constexpr std::array<bool, 256> kPunctuation = [] {
  std::array<bool, 256> table{};
  for (const char c : {'{', '}', '[', ']', ',', ':'}) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

uint64_t ByteBit(char c) { return uint64_t{1} << (static_cast<uint8_t>(c) & 63); }

bool IsSpace(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void EncodeUtf8(uint32_t code, char*& out) {
  const auto put = [&](uint32_t byte) { *out++ = static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// Four hexadecimal digits, or -1.
int HexUnit(const char* p, const char* end) {
  if (end - p < 4) return -1;
  uint32_t value = 0;
  const auto [stop, error] = std::from_chars(p, p + 4, value, 16);
  return error == std::errc() && stop == p + 4 ? static_cast<int>(value) : -1;
}

char AsciiLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

class ProjectionPlan {
 public:
  ProjectionSpec spec;
  std::vector<Node> nodes{1};
  std::vector<Leaf> leaves;
  std::vector<std::vector<Origin>> columns;  // by column, in order of preference
  std::vector<Origin> times;
  static constexpr size_t kMaxEdges = 256;  // fields read of one object

  absl::Status Build() {
    for (const ColumnSpec& column : spec.columns) {
      LeafKind kind = LeafKind::kText;
      switch (column.type) {
        case ColumnType::kText: kind = LeafKind::kText; break;
        case ColumnType::kTextList: kind = LeafKind::kList; break;
        case ColumnType::kInt: kind = LeafKind::kInt; break;
        case ColumnType::kExists: kind = LeafKind::kExists; break;
      }
      std::vector<Origin>& origins = columns.emplace_back();
      for (const std::string& path : column.paths) {
        WEIR_ASSIGN_OR_RETURN(Origin origin, Add(path, {kind}));
        origins.push_back(std::move(origin));
      }
    }
    for (const TimeField& time : spec.times) {
      WEIR_ASSIGN_OR_RETURN(Origin origin, Add(time.path, {LeafKind::kTime, time.encoding}));
      times.push_back(std::move(origin));
    }
    for (Node& node : nodes) {
      if (node.edges.size() > kMaxEdges)
        return absl::InvalidArgumentError(fmt::format("more than {} fields of one JSON object are read", kMaxEdges));
      node.first_bytes = ByteBit('\\');
      for (Node::Edge& edge : node.edges) {
        node.first_bytes |= ByteBit(edge.key[0]);
        const std::string quoted = edge.key + '"';
        std::memcpy(&edge.prefix, quoted.data(), std::min<size_t>(quoted.size(), 8));
        std::memset(&edge.mask, 0xff, std::min<size_t>(quoted.size(), 8));
        // As it stands in a document a backslash escapes what follows: such a key is compared unescaped only.
        if (edge.key.find('\\') != std::string::npos) edge.mask = 0, edge.prefix = 1;
      }
    }
    CollectSubtree(0, false);
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kMaxSegments = 64;  // the walk recurses along paths

  absl::StatusOr<Origin> Add(const std::string& path, Leaf leaf) {
    Origin origin;
    if (path.starts_with('@')) {
      const std::string_view name = std::string_view(path).substr(1);
      const bool text_or_number = leaf.kind == LeafKind::kText || leaf.kind == LeafKind::kInt;
      if (name == "key") origin.attribute = Attribute::kKey;
      else if (name == "topic") origin.attribute = Attribute::kTopic;
      else if (name == "partition") origin.attribute = Attribute::kPartition;
      else if (name == "offset") origin.attribute = Attribute::kOffset;
      else if (name == "timestamp") origin.attribute = Attribute::kTimestamp;
      else if (name.starts_with("header.") && name.size() > 7) {
        origin.attribute = Attribute::kHeader;
        origin.header = name.substr(7);
      } else {
        return absl::InvalidArgumentError(
            fmt::format("unknown message attribute \"{}\". Use @key, @topic, @partition, @offset, @timestamp or @header.NAME.", path));
      }
      if (!text_or_number && leaf.kind != LeafKind::kTime)
        return absl::InvalidArgumentError(fmt::format("\"{}\" is a single value, and a list or an object is wanted. Use a path into the record, such as "
                                                      "entities.hashtags[].text.", path));
      return origin;
    }
    const auto bad = [&](std::string_view why) {
      return absl::InvalidArgumentError(fmt::format(
          "field path \"{}\": {}. Write object keys joined by dots, [] behind a key that holds an array (entities.hashtags[].text), "
          "and a backslash before a dot that belongs to a key.", path, why));
    };
    int node = 0, list_node = -1;
    size_t segments = 0;
    for (size_t at = 0;;) {
      std::string key;
      for (; at < path.size() && path[at] != '.' && path[at] != '['; ++at) {
        if (path[at] == '\\' && at + 1 < path.size()) ++at;
        key.push_back(path[at]);
      }
      if (key.empty()) return bad("a key is empty");
      if (++segments > kMaxSegments) return bad("it has more than 64 parts");
      node = Child(node, key);
      if (at < path.size() && path[at] == '[') {
        if (path.compare(at, 2, "[]") != 0) return bad("only [] is known, for every element");
        at += 2;
        if (list_node < 0) list_node = node;
        if (nodes[node].element < 0) {
          const int element = NewNode();
          nodes[node].element = element;
        }
        node = nodes[node].element;
        if (at < path.size() && path[at] != '.') return bad("behind [] comes a dot or the end");
      }
      if (at == path.size()) break;
      ++at;
    }
    if (list_node >= 0 && leaf.kind != LeafKind::kList) return bad("it names many values where one is wanted");
    if (list_node < 0 && leaf.kind == LeafKind::kList) return bad("it names one value where a list is wanted; add [] behind the array's key");
    origin.leaf = static_cast<int>(leaves.size());
    leaves.push_back(leaf);
    nodes[node].leaves.push_back(origin.leaf);
    if (list_node >= 0) nodes[list_node].opened_lists.push_back(origin.leaf);
    return origin;
  }

  int NewNode() {
    nodes.emplace_back();
    return static_cast<int>(nodes.size()) - 1;
  }

  int Child(int node, const std::string& key) {
    for (const Node::Edge& edge : nodes[node].edges)
      if (edge.key == key) return edge.child;
    const int child = NewNode();
    nodes[node].edges.push_back({.key = key, .child = child});
    return child;
  }

  void CollectSubtree(int at, bool in_array) {
    Node& node = nodes[at];
    node.in_array = in_array;
    node.subtree = node.leaves;
    node.subtree.insert(node.subtree.end(), node.opened_lists.begin(), node.opened_lists.end());
    std::vector<std::pair<int, bool>> below;
    for (const Node::Edge& edge : node.edges) below.emplace_back(edge.child, in_array);
    if (node.element >= 0) below.emplace_back(node.element, true);
    for (auto [child, inside] : below) {
      CollectSubtree(child, inside);
      nodes[at].subtree.insert(nodes[at].subtree.end(), nodes[child].subtree.begin(), nodes[child].subtree.end());
    }
  }
};

absl::StatusOr<std::shared_ptr<const ProjectionPlan>> MakeProjectionPlan(ProjectionSpec spec) {
  auto plan = std::make_shared<ProjectionPlan>();
  plan->spec = std::move(spec);
  WEIR_RETURN_IF_ERROR(plan->Build());
  return std::shared_ptr<const ProjectionPlan>(std::move(plan));
}

void TextArena::NewBlock(size_t at_least) {
  while (++block_ < blocks_.size())
    if (blocks_[block_].size >= at_least) break;
  if (block_ >= blocks_.size()) {
    const size_t size = std::max<size_t>(at_least, 32 * 1024);
    blocks_.push_back({std::unique_ptr<char[]>(new char[size]), size});
    block_ = blocks_.size() - 1;
  }
  next_ = blocks_[block_].bytes.get();
  end_ = next_ + blocks_[block_].size;
}

void ProjectedChunk::Clear() {
  records.clear();
  for (Column& column : columns) column.Clear();
  rejects.clear();
  arena.Clear();
  rows.clear();
  panes.clear();
}

// The walk over one document's structural index.
class Projector::Walker {
 public:
  explicit Walker(const ProjectionPlan& plan)
      : plan_(plan), texts_(plan.leaves.size()), numbers_(plan.leaves.size()), lists_(plan.leaves.size()),
        has_(plan.leaves.size()) {}

  // Fills the leaves from one document. Returns nullptr, or what is wrong (then error_at() says where).
  const char* Walk(std::string_view document, TextArena& arena) {
    arena_ = &arena;
    std::fill(has_.begin(), has_.end(), 0);
    for (auto& list : lists_) list.clear();
    error_ = nullptr;
    error_at_ = 0;
    if (const char* error = Index(document)) return error;
    if (Next() != '{') return error_ != nullptr ? error_ : Fail("not a JSON object");
    if (!Object(plan_.nodes[0], 1)) return error_;
    if (i_ != n_) {
      position_ = index_[i_];
      return Fail("something follows the JSON object");
    }
    return nullptr;
  }
  size_t error_at() const { return error_at_; }

  bool has(int leaf) const { return has_[leaf]; }
  std::string_view text(int leaf) const { return texts_[leaf]; }
  int64_t number(int leaf) const { return numbers_[leaf]; }
  const std::vector<std::string_view>& list(int leaf) const { return lists_[leaf]; }

 private:
  // simdjson's first stage: positions of all brackets, colons, commas and beginnings of scalars outside strings.
  const char* Index(std::string_view document) {
    if (parser_ == nullptr || document.size() > parser_->capacity()) {
      const size_t capacity = std::max<size_t>(document.size() * 2, 64 * 1024);
      if (simdjson::get_active_implementation()->create_dom_parser_implementation(capacity, 1, parser_) != simdjson::SUCCESS)
        throw std::bad_alloc();  // no fault of the record: a dead letter would be one for good
    }
    buffer_ = reinterpret_cast<const uint8_t*>(document.data());
    length_ = document.size();
    i_ = n_ = 0;
    position_ = 0;
    if (document.empty()) return Fail("empty");
    switch (parser_->stage1(buffer_, length_, simdjson::stage1_mode::regular)) {
      case simdjson::SUCCESS: break;
      case simdjson::EMPTY: return Fail("empty");
      case simdjson::UTF8_ERROR: return Fail("not UTF-8");
      case simdjson::UNCLOSED_STRING: return Fail("a string is not closed");
      case simdjson::UNESCAPED_CHARS: return Fail("a control character in a string");
      default: return Fail("not JSON");
    }
    index_ = parser_->structural_indexes.get();
    n_ = parser_->n_structural_indexes;
    return nullptr;
  }

  const char* Fail(const char* why) {
    if (error_ == nullptr) {
      error_ = why;
      error_at_ = position_;
    }
    return error_;
  }
  bool Bad(const char* why) {
    Fail(why);
    return false;
  }

  // The next token's first byte; 0 at the end.
  uint8_t Next() {
    if (i_ >= n_) {
      position_ = static_cast<uint32_t>(length_);
      Fail("JSON ends early");
      return 0;
    }
    position_ = index_[i_++];
    return buffer_[position_];
  }
  // Where the text of the current token ends at the latest.
  uint32_t TokenLimit() const { return i_ < n_ ? index_[i_] : static_cast<uint32_t>(length_); }

  // Behind '{'.
  bool Object(const Node& node, int depth) {
    if (depth > kMaxJsonDepth) return Bad("nested deeper than 1,024");
    // Sizes of the lists when the object began: a key that comes twice replaces what the first one added.
    absl::InlinedVector<uint32_t, 8> marks;
    if (node.in_array)
      for (int leaf : node.subtree) marks.push_back(static_cast<uint32_t>(lists_[leaf].size()));
    std::array<uint64_t, ProjectionPlan::kMaxEdges / 64> seen{};
    uint8_t c = Next();
    if (c == '}') return true;
    for (;;) {
      if (!plan_.spec.validate_full) c = PassMembers(node, c);
      if (c != '"') return Bad("expected a key");
      const uint32_t key = position_;
      if (Next() != ':') return Bad("expected ':' behind a key");
      const uint32_t colon = position_;
      if (plan_.spec.validate_full && !CheckString(key, colon)) return false;
      const Node::Edge* const edge = Match(node, key, colon);
      if (edge == nullptr) {
        if (!Skip(Next(), depth)) return false;
      } else {
        const size_t number = static_cast<size_t>(edge - node.edges.data());
        const uint64_t bit = uint64_t{1} << (number % 64);
        if (seen[number / 64] & bit) Reset(node, plan_.nodes[edge->child], marks);
        seen[number / 64] |= bit;
        if (!Value(plan_.nodes[edge->child], Next(), depth)) return false;
      }
      c = Next();
      if (c == '}') return true;
      if (c != ',') return Bad("expected ',' or '}'");
      c = Next();
    }
  }

  // From a member's first byte `c`: passes over members whose key nobody reads and whose value is a scalar, by far the most,
  // four tokens at a time. Returns the first byte of the member that it stops at.
  uint8_t PassMembers(const Node& node, uint8_t c) {
    const uint32_t* const begin = index_ + i_ - 1;
    const uint32_t* const end = index_ + n_;
    const uint64_t first_bytes = node.first_bytes;
    const uint8_t* const buffer = buffer_;
    const uint32_t* t = begin;  // key, colon, value, comma
    while (end - t > 4 && buffer[t[0]] == '"' && buffer[t[1]] == ':' && !(first_bytes & ByteBit(static_cast<char>(buffer[t[0] + 1]))) &&
           !kPunctuation[buffer[t[2]]] && buffer[t[3]] == ',')
      t += 4;
    if (t == begin) return c;
    i_ = static_cast<uint32_t>(t - index_);
    return Next();
  }

  const Node::Edge* Match(const Node& node, uint32_t key, uint32_t colon) {
    const char* const begin = reinterpret_cast<const char*>(buffer_) + key + 1;
    if (!(node.first_bytes & ByteBit(*begin))) return nullptr;
    uint64_t first;
    std::memcpy(&first, begin, sizeof first);  // may reach into the padding
    for (const Node::Edge& edge : node.edges) {
      if ((first & edge.mask) != edge.prefix) continue;
      const size_t size = edge.key.size();
      if (size < 8 || (colon - key >= size + 2 && begin[size] == '"' && std::memcmp(begin, edge.key.data(), size) == 0)) return &edge;
    }
    if (std::memchr(begin, '\\', colon - key - 1) == nullptr) return nullptr;
    std::string_view unescaped;
    if (!Unescape(key, colon, unescaped)) return nullptr;  // a key that is not read; "full" has judged it
    for (const Node::Edge& edge : node.edges)
      if (edge.key == unescaped) return &edge;
    return nullptr;
  }

  void Reset(const Node& object, const Node& child, const absl::InlinedVector<uint32_t, 8>& marks) {
    for (int leaf : child.subtree) {
      if (!object.in_array) {
        has_[leaf] = 0;
        lists_[leaf].clear();
        continue;
      }
      if (plan_.leaves[leaf].kind != LeafKind::kList) continue;
      for (size_t k = 0; k < object.subtree.size(); ++k)
        if (object.subtree[k] == leaf) lists_[leaf].resize(std::min<size_t>(lists_[leaf].size(), marks[k]));
    }
  }

  // A value that the plan wants, or wants something of; `c` is its first byte.
  bool Value(const Node& node, uint8_t c, int depth) {
    switch (c) {
      case '{':
        for (int leaf : node.leaves)
          if (plan_.leaves[leaf].kind == LeafKind::kExists) has_[leaf] = 1;
        if (!node.edges.empty()) return Object(node, depth + 1);
        return SkipChecked(c, depth);
      case '[':
        if (node.element < 0) return SkipChecked(c, depth);
        for (int leaf : node.opened_lists) has_[leaf] = 1;
        return Array(plan_.nodes[node.element], depth + 1);
      case '"': {
        const uint32_t at = position_;
        if (node.leaves.empty()) return !plan_.spec.validate_full || CheckString(at, TokenLimit());
        std::string_view text;
        if (!Unescape(at, TokenLimit(), text)) return Bad("a bad escape in a string");
        for (int leaf : node.leaves) TakeText(leaf, text);
        return true;
      }
      case 0: return Bad("JSON ends early");
      case ',': case ':': case '}': case ']': return Bad("expected a value");
      default: {
        std::string_view text;
        if (!CheckScalar(position_, text)) return false;
        for (int leaf : node.leaves) TakeNumber(leaf, text);
        return true;
      }
    }
  }

  // Behind '['.
  bool Array(const Node& element, int depth) {
    if (depth > kMaxJsonDepth) return Bad("nested deeper than 1,024");
    uint8_t c = Next();
    if (c == ']') return true;
    for (;;) {
      if (!Value(element, c, depth)) return false;
      c = Next();
      if (c == ']') return true;
      if (c != ',') return Bad("expected ',' or ']'");
      c = Next();
    }
  }

  void TakeText(int leaf, std::string_view text) {
    const Leaf& l = plan_.leaves[leaf];
    switch (l.kind) {
      case LeafKind::kText:
        texts_[leaf] = text;
        has_[leaf] = 1;
        break;
      case LeafKind::kList: lists_[leaf].push_back(text); break;
      case LeafKind::kTime:
        if (const std::optional<int64_t> time = ParseTimeString(text, l.encoding)) {
          numbers_[leaf] = *time;
          has_[leaf] = 1;
        }
        break;
      case LeafKind::kInt:
      case LeafKind::kExists: break;
    }
  }

  void TakeNumber(int leaf, std::string_view text) {
    if (text[0] != '-' && (text[0] < '0' || text[0] > '9')) return;  // true, false, null
    const Leaf& l = plan_.leaves[leaf];
    if (l.kind == LeafKind::kInt) {
      int64_t value;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc() || end != text.data() + text.size()) return;
      numbers_[leaf] = value;
      has_[leaf] = 1;
    } else if (l.kind == LeafKind::kTime) {
      if (const std::optional<int64_t> time = ParseTimeNumber(text, l.encoding)) {
        numbers_[leaf] = *time;
        has_[leaf] = 1;
      }
    }
  }

  // Passes over a value that nobody reads. Fast: looks at brackets only.
  bool Skip(uint8_t c, int depth) {
    if (plan_.spec.validate_full) return SkipChecked(c, depth);
    switch (c) {
      case '{': case '[': break;
      case 0: return Bad("JSON ends early");
      case ',': case ':': case '}': case ']': return Bad("expected a value");
      default: return true;
    }
    uint8_t* top = kinds_.data();
    uint8_t* const limit = top + (kMaxJsonDepth - depth);
    if (top == limit) return Bad("nested deeper than 1,024");
    *top = c;
    uint32_t i = i_;
    for (const uint32_t n = n_; i < n;) {
      const uint8_t b = buffer_[index_[i++]];
      if ((b | 0x26) != 0x7f) continue;  // no bracket (nor 'y' or the like)
      if ((b | 0x20) == '{') {
        if (++top == limit) {
          position_ = index_[i - 1];
          return Bad("nested deeper than 1,024");
        }
        *top = b;
      } else if ((b | 0x20) == '}') {
        if (static_cast<uint8_t>(*top + 2) != b) {  // '{' + 2 == '}', '[' + 2 == ']'
          position_ = index_[i - 1];
          return Bad("brackets do not match");
        }
        if (top-- == kinds_.data()) {
          i_ = i;
          return true;
        }
      }
    }
    i_ = n_;
    Next();
    return false;
  }

  // Passes over a value and checks all of its grammar. Iterative: depth is the data's choice.
  bool SkipChecked(uint8_t c, int depth) {
    int top = -1;
    for (;;) {
      // A value begins at `c`.
      std::string_view text;
      switch (c) {
        case '{':
        case '[':
          if (depth + top + 2 > kMaxJsonDepth) return Bad("nested deeper than 1,024");
          kinds_[++top] = c;
          if (i_ < n_ && buffer_[index_[i_]] == c + 2) {
            Next();
            break;
          }
          c = Next();
          if (kinds_[top] == '{' && !CheckKey(c)) return false;
          continue;
        case '"':
          if (!CheckString(position_, TokenLimit())) return false;
          goto after_value;
        case 0: return Bad("JSON ends early");
        case ',': case ':': case '}': case ']': return Bad("expected a value");
        default:
          if (!CheckScalar(position_, text)) return false;
          goto after_value;
      }
      --top;  // an empty object or array
    after_value:
      for (;;) {
        if (top < 0) return true;
        c = Next();
        if (c == ',') break;
        if (c != kinds_[top] + 2) return Bad(c == 0 ? "JSON ends early" : "expected ',' or a closing bracket");
        --top;
      }
      c = Next();
      if (kinds_[top] == '{' && !CheckKey(c)) return false;
    }
  }

  // `c` begins a key; leaves the first byte of its value in `c`.
  bool CheckKey(uint8_t& c) {
    if (c != '"') return Bad("expected a key");
    if (!CheckString(position_, TokenLimit())) return false;
    if (Next() != ':') return Bad("expected ':' behind a key");
    c = Next();
    return true;
  }

  // The string that opens at `at` and is closed before `limit` (the index saw to it): are its escapes well-formed?
  bool CheckString(uint32_t at, uint32_t limit) {
    const char* p = reinterpret_cast<const char*>(buffer_) + at + 1;
    const char* const end = reinterpret_cast<const char*>(buffer_) + limit;
    while (p < end && *p != '"') {
      if (*p++ != '\\') continue;
      if (p < end && *p == 'u') {
        if (HexUnit(p + 1, end) < 0) return Bad("a bad escape in a string");
        p += 5;
      } else if (p < end && std::strchr("\"\\/bfnrt", *p) != nullptr && *p != '\0') {
        ++p;
      } else {
        return Bad("a bad escape in a string");
      }
    }
    return true;
  }

  // A number or literal that begins at `at`.
  bool CheckScalar(uint32_t at, std::string_view& text) {
    const char* const begin = reinterpret_cast<const char*>(buffer_) + at;
    const char* const limit = reinterpret_cast<const char*>(buffer_) + TokenLimit();
    const char* end = begin;
    while (end < limit && !IsSpace(static_cast<uint8_t>(*end))) ++end;
    text = {begin, static_cast<size_t>(end - begin)};
    if (text == "true" || text == "false" || text == "null") return true;
    const char* p = begin;
    const auto digits = [&] {
      const char* const first = p;
      while (p < end && *p >= '0' && *p <= '9') ++p;
      return p != first;
    };
    if (p < end && *p == '-') ++p;
    if (p < end && *p == '0') ++p;
    else if (!digits()) return Bad("neither a value nor a number");
    if (p < end && *p == '.') {
      ++p;
      if (!digits()) return Bad("a bad number");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
      ++p;
      if (p < end && (*p == '+' || *p == '-')) ++p;
      if (!digits()) return Bad("a bad number");
    }
    return p == end || Bad("a bad number");
  }

  // Copies the string that opens at `at` into the arena, escapes resolved. False: a bad escape.
  bool Unescape(uint32_t at, uint32_t limit, std::string_view& text) {
    const char* p = reinterpret_cast<const char*>(buffer_) + at + 1;
    const char* const end = reinterpret_cast<const char*>(buffer_) + limit;
    // Eight bytes at a time are read past the string (into the chunk's padding) and written past the copy.
    char* const begin = arena_->Room(limit - at + 8);
    char* out = begin;
    for (;;) {
      uint64_t word;
      std::memcpy(&word, p, 8);
      std::memcpy(out, &word, 8);
      const auto zero_bytes = [](uint64_t v) { return (v - 0x0101010101010101u) & ~v & 0x8080808080808080u; };
      const uint64_t hits = zero_bytes(word ^ 0x2222222222222222u) | zero_bytes(word ^ 0x5c5c5c5c5c5c5c5cu);
      if (hits == 0) {
        p += 8;
        out += 8;
        continue;
      }
      size_t ordinary = static_cast<size_t>(__builtin_ctzll(hits)) / 8;  // little-endian: the lowest hit is exact
      if constexpr (std::endian::native == std::endian::big)
        for (ordinary = 0; p[ordinary] != '"' && p[ordinary] != '\\';) ++ordinary;
      p += ordinary;
      out += ordinary;
      if (*p == '"') break;
      ++p;
      switch (*p) {
        case '"': case '\\': case '/': *out++ = *p++; break;
        case 'b': *out++ = '\b'; ++p; break;
        case 'f': *out++ = '\f'; ++p; break;
        case 'n': *out++ = '\n'; ++p; break;
        case 'r': *out++ = '\r'; ++p; break;
        case 't': *out++ = '\t'; ++p; break;
        case 'u': {
          const int unit = HexUnit(p + 1, end);
          if (unit < 0) return false;
          p += 5;
          uint32_t code = static_cast<uint32_t>(unit);
          if (code >= 0xD800 && code < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
            const int low = HexUnit(p + 2, end);
            if (low >= 0xDC00 && low < 0xE000) {
              code = 0x10000 + ((code - 0xD800) << 10) + (static_cast<uint32_t>(low) - 0xDC00);
              p += 6;
            }
          }
          if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;  // a lone surrogate
          EncodeUtf8(code, out);
          break;
        }
        default: return false;
      }
    }
    text = arena_->Take(static_cast<size_t>(out - begin));
    return true;
  }

  const ProjectionPlan& plan_;
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser_;
  const uint8_t* buffer_ = nullptr;
  size_t length_ = 0;
  const uint32_t* index_ = nullptr;
  uint32_t i_ = 0, n_ = 0;        // next token, number of tokens
  uint32_t position_ = 0;         // of the current token
  TextArena* arena_ = nullptr;
  const char* error_ = nullptr;
  size_t error_at_ = 0;
  std::array<uint8_t, kMaxJsonDepth + 1> kinds_;  // open brackets of a value that is passed over

  std::vector<std::string_view> texts_;  // by leaf
  std::vector<int64_t> numbers_;
  std::vector<std::vector<std::string_view>> lists_;
  std::vector<uint8_t> has_;
};

namespace {

std::string_view Header(std::string_view headers, std::string_view name) {
  std::string_view found;
  const auto take = [&](std::string_view& piece) {
    uint32_t size;
    if (headers.size() < sizeof size) return false;
    std::memcpy(&size, headers.data(), sizeof size);
    headers.remove_prefix(sizeof size);
    if (size > headers.size()) return false;
    piece = headers.substr(0, size);
    headers.remove_prefix(size);
    return true;
  };
  for (std::string_view key, value; take(key) && take(value);)
    if (key == name) found = value;  // of equal headers the last counts
  return found;
}

std::string_view Keep(std::string_view text, TextArena& arena) {
  char* const room = arena.Room(text.size() + 1);
  if (!text.empty()) std::memcpy(room, text.data(), text.size());
  return arena.Take(text.size());
}

// What a payload that is no JSON probably is.
std::string_view Hint(std::string_view payload) {
  if (payload.starts_with("\x1f\x8b")) return " (looks like gzip: compress with the producer's compression.type instead)";
  if (payload.starts_with("Obj\x01")) return " (looks like an Avro container file: weir reads JSON)";
  if (payload.starts_with("\xc3\x01")) return " (looks like an Avro single-object message: weir reads JSON)";
  if (payload.size() > 5 && payload[0] == '\0') return " (looks like Avro with a schema id: weir reads JSON)";
  return "";
}

bool ContainsAny(std::string_view text, const std::vector<std::string>& words, std::string& lower) {
  lower.assign(text);
  for (char& c : lower) c = AsciiLower(c);
  for (const std::string& word : words)
    if (lower.find(word) != std::string::npos) return true;
  return false;
}

}  // namespace

Projector::Projector(std::shared_ptr<const ProjectionPlan> plan)
    : plan_(std::move(plan)), walker_(std::make_unique<Walker>(*plan_)) {}
Projector::~Projector() = default;

std::string Projector::Judge(std::string_view document) {
  Chunk chunk;
  const size_t at = chunk.Append(document);
  chunk.Reserve(0);
  TextArena arena;
  const char* const error = walker_->Walk({chunk.data() + at, document.size()}, arena);
  return error == nullptr ? "" : error;
}

void Projector::Project(const Chunk& chunk, const BatchClock& clock, ProjectedChunk& out) {
  const ProjectionSpec& spec = plan_->spec;
  Walker& walker = *walker_;
  if (out.columns.empty())
    for (const ColumnSpec& column : spec.columns) out.columns.emplace_back(column.type);
  std::string lower;

  // The message around the document, as a text that is kept; nullopt: not there.
  const auto attribute = [&](const Origin& origin, const RawRecord& raw) -> std::optional<std::string_view> {
    switch (origin.attribute) {
      case Attribute::kKey:
        if (!raw.has_key || !simdjson::validate_utf8(chunk.key(raw).data(), raw.key_size)) return std::nullopt;
        return Keep(chunk.key(raw), out.arena);
      case Attribute::kHeader: {
        const std::string_view value = Header(chunk.headers(raw), origin.header);
        if (value.data() == nullptr || !simdjson::validate_utf8(value.data(), value.size())) return std::nullopt;
        return Keep(value, out.arena);
      }
      case Attribute::kTopic: return Keep((*out.partitions)[raw.partition].topic, out.arena);
      case Attribute::kPartition: return Keep(fmt::format_int((*out.partitions)[raw.partition].partition).c_str(), out.arena);
      case Attribute::kOffset: return Keep(fmt::format_int(raw.offset).c_str(), out.arena);
      case Attribute::kTimestamp:
        if (raw.timestamp_ms == kNoTimestamp) return std::nullopt;
        return Keep(fmt::format_int(raw.timestamp_ms).c_str(), out.arena);
    }
    return std::nullopt;
  };

  const auto event_time = [&](const RawRecord& raw) -> std::optional<int64_t> {
    if (clock.fixed_time_ms != kNoTimestamp) return clock.fixed_time_ms;
    if (spec.broker_time)
      return raw.timestamp_ms >= 0 && raw.timestamp_ms <= kMaxEventTime ? std::optional(raw.timestamp_ms) : std::nullopt;
    for (size_t k = 0; k < plan_->times.size(); ++k) {
      const Origin& origin = plan_->times[k];
      if (origin.leaf >= 0) {
        if (walker.has(origin.leaf)) return walker.number(origin.leaf);
      } else if (const auto text = attribute(origin, raw)) {
        if (const auto time = ParseTimeString(*text, spec.times[k].encoding)) return time;
      }
    }
    return std::nullopt;
  };

  for (const RawRecord& raw : chunk.records) {
    const uint32_t row = static_cast<uint32_t>(out.records.size());
    ProjectedChunk::Record& record =
        out.records.emplace_back(ProjectedChunk::Record{raw.partition, RecordKind::kTimed, false, raw.offset, 0});
    const std::string_view payload = chunk.payload(raw);
    const auto reject = [&](RecordKind kind, std::string reason) {
      record.kind = kind;
      out.rejects.push_back({row, std::move(reason), std::string(payload.substr(0, kDeadLetterBytes))});
    };
    const char* const error = walker.Walk(payload, out.arena);
    if (error != nullptr) {
      reject(RecordKind::kInvalid,
             walker.error_at() == 0 ? fmt::format("{}{}", error, Hint(payload))
                                    : fmt::format("{} at byte {}{}", error, walker.error_at(), Hint(payload)));
    } else if (const auto time = event_time(raw)) {
      record.time_ms = *time;
      if (*time > clock.quarantine_after_ms)
        reject(RecordKind::kQuarantined, "event time is further ahead than --max-future");
    } else {
      record.kind = RecordKind::kNoTime;
    }

    const bool valid = error == nullptr;
    for (size_t c = 0; c < out.columns.size(); ++c) {
      Column& column = out.columns[c];
      const Origin* from = nullptr;
      std::optional<std::string_view> around;
      if (valid) {
        for (const Origin& origin : plan_->columns[c]) {
          if (origin.leaf >= 0 ? walker.has(origin.leaf) : (around = attribute(origin, raw)).has_value()) {
            from = &origin;
            break;
          }
        }
      }
      switch (column.type) {
        case ColumnType::kText:
          column.texts.push_back(from == nullptr ? std::string_view() : around ? *around : walker.text(from->leaf));
          break;
        case ColumnType::kTextList:
          if (from != nullptr) {
            const auto& items = walker.list(from->leaf);
            column.texts.insert(column.texts.end(), items.begin(), items.end());
          }
          column.ends.push_back(static_cast<uint32_t>(column.texts.size()));
          break;
        case ColumnType::kInt: {
          int64_t value = 0;
          bool present = from != nullptr;
          if (present && around) {
            const auto parsed = std::from_chars(around->data(), around->data() + around->size(), value);
            present = parsed.ec == std::errc() && parsed.ptr == around->data() + around->size();
          } else if (present) {
            value = walker.number(from->leaf);
          }
          column.ints.push_back(value);
          column.present.push_back(present);
          break;
        }
        case ColumnType::kExists: column.ints.push_back(from != nullptr); break;
      }
    }
    if (record.kind == RecordKind::kTimed) {
      if (!spec.track.empty()) {
        const std::string_view text = out.columns[spec.text_column].texts.back();
        record.filtered = text.data() == nullptr || !ContainsAny(text, spec.track, lower);
      }
      if (!spec.langs.empty() && !record.filtered) {
        const std::string_view lang = out.columns[spec.lang_column].texts.back();
        record.filtered = std::find(spec.langs.begin(), spec.langs.end(), lang) == spec.langs.end();
      }
    }
  }
}

}  // namespace weir
