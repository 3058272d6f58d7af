// The limit of the file run: a loop written by hand with simdjson's On-Demand interface that reads an NDJSON file and extracts
// what tweets_by_location, user_mentions and hashtags need, and does nothing with it. One thread, one reused buffer.
#include <fcntl.h>
#include <simdjson.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

namespace {

namespace od = simdjson::ondemand;

struct Totals {
  uint64_t documents = 0, locations = 0, mentions = 0, hashtags = 0, bytes = 0;
};

void Texts(od::value list, const char* field, uint64_t& count, Totals& totals) {
  od::array items;
  if (list.get_array().get(items)) return;
  for (auto item : items) {
    od::object object;
    std::string_view text;
    if (item.get_object().get(object) || object[field].get_string().get(text)) continue;
    totals.bytes += text.size();
    ++count;
  }
}

void Document(od::parser& parser, const char* begin, size_t size, Totals& totals) {
  od::document document;
  od::object root;
  if (parser.iterate(simdjson::padded_string_view(begin, size, size + simdjson::SIMDJSON_PADDING)).get(document) ||
      document.get_object().get(root))
    return;
  ++totals.documents;
  for (auto field : root) {
    od::raw_json_string key;
    if (field.key().get(key)) return;
    std::string_view text;
    od::object object;
    if (key == "created_at" || key == "timestamp_ms") {
      if (!field.value().get_string().get(text)) totals.bytes += text.size();
    } else if (key == "user") {
      if (field.value().get_object().get(object) || object["location"].get_string().get(text)) continue;
      totals.bytes += text.size();
      ++totals.locations;
    } else if (key == "entities") {
      if (field.value().get_object().get(object)) continue;
      for (auto entity : object) {
        od::raw_json_string name;
        if (entity.key().get(name)) return;
        if (name == "user_mentions") Texts(entity.value(), "screen_name", totals.mentions, totals);
        else if (name == "hashtags") Texts(entity.value(), "text", totals.hashtags, totals);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  constexpr size_t kRead = 128 * 1024;
  const int fd = argc == 2 ? ::open(argv[1], O_RDONLY) : -1;
  if (fd < 0) {
    std::fprintf(stderr, "usage: limit_loop FILE\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  std::unique_ptr<char[]> buffer(new char[16 * kRead + simdjson::SIMDJSON_PADDING]());  // lines up to 2 MB
  od::parser parser;
  Totals totals;
  size_t have = 0, read_bytes = 0;
  for (ssize_t got; (got = ::read(fd, buffer.get() + have, kRead)) > 0;) {
    have += static_cast<size_t>(got);
    read_bytes += static_cast<size_t>(got);
    char* at = buffer.get();
    char* const end = at + have;
    while (char* line_end = static_cast<char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)))) {
      Document(parser, at, static_cast<size_t>(line_end - at), totals);
      at = line_end + 1;
    }
    have = static_cast<size_t>(end - at);
    std::memmove(buffer.get(), at, have);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("{\"documents\":%llu,\"bytes\":%zu,\"seconds\":%.4f,\"checksum\":%llu}\n",
              static_cast<unsigned long long>(totals.documents), read_bytes, seconds,
              static_cast<unsigned long long>(totals.bytes + totals.locations + totals.mentions + totals.hashtags));
}
