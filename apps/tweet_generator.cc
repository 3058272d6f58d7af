#include "apps/tweet_generator.h"

#include <array>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"

namespace weir {
namespace {

constexpr uint32_t kUsers = 100'000;
constexpr uint32_t kLocations = 5'000;
constexpr uint32_t kHashtags = 6'000;
constexpr uint32_t kStatuses = 20'000;  // that are retweeted
constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kTwitterEpochMs = 1'288'834'974'657;  // ids count from here
constexpr int64_t k2099Ms = 4'070'908'800'000;          // 2099-01-01T00:00:00Z

// ---- chance

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// SplitMix64 (Steele, Lea, Flood 2014). Integers only, so that every compiler and processor agrees.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint32_t Next() { return static_cast<uint32_t>(Mix(state_ += 0x9e3779b97f4a7c15) >> 32); }
  // Uniform in [0, n).
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>((uint64_t{Next()} * n) >> 32); }
  bool Percent(uint32_t share) { return Below(100) < share; }
  // Rank r in [0, n) with a probability of exactly 1/(r+1) to the others', without tables or powers: an
  // octave [2^b, 2^(b+1)) is drawn evenly, a k in it evenly, and k is kept in 2^b of k cases.
  uint32_t Zipf(uint32_t n) {
    uint32_t octaves = 0;
    while ((uint64_t{1} << octaves) <= n) ++octaves;
    while (true) {
      const uint32_t first = uint32_t{1} << Below(octaves);
      const uint32_t k = first + Below(first);
      if (k <= n && Below(k) < first) return k - 1;
    }
  }

 private:
  uint64_t state_;
};

// ---- text in JSON

// A string as it stands between the quotes, in the two spellings that captures have: raw UTF-8, and ASCII
// with escapes.
struct Text {
  std::string spelling[2];
  int32_t code_points = 0;  // what positions in `entities` count
  std::string_view in(bool escaped) const { return spelling[escaped]; }
};

void AppendUnicodeEscape(uint32_t unit, std::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(unit >> shift) & 15];
}

Text ToText(std::string_view utf8) {  // REQUIRES: valid UTF-8
  Text text;
  auto& [raw, escaped] = text.spelling;
  for (size_t i = 0; i < utf8.size(); ++text.code_points) {
    const auto lead = static_cast<unsigned char>(utf8[i]);
    const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const std::string_view bytes = utf8.substr(i, size);
    i += size;
    if (lead == '"' || lead == '\\') {
      (raw += '\\') += bytes;
      (escaped += '\\') += bytes;
    } else if (lead == '\n' || lead == '\t') {
      raw += lead == '\n' ? "\\n" : "\\t";
      escaped += lead == '\n' ? "\\n" : "\\t";
    } else if (lead == '/') {
      raw += '/';
      escaped += "\\/";
    } else if (size == 1) {
      raw += bytes;
      escaped += bytes;
    } else {
      raw += bytes;
      uint32_t code = size == 2 ? lead & 0x1f : size == 3 ? lead & 0x0f : lead & 0x07;
      for (size_t k = 1; k < size; ++k) code = (code << 6) | (static_cast<unsigned char>(bytes[k]) & 0x3f);
      if (code < 0x10000) {
        AppendUnicodeEscape(code, escaped);
      } else {
        AppendUnicodeEscape(0xd800 + ((code - 0x10000) >> 10), escaped);
        AppendUnicodeEscape(0xdc00 + ((code - 0x10000) & 0x3ff), escaped);
      }
    }
  }
  return text;
}

void AppendNumber(int64_t value, std::string& out) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

// "Wed Aug 27 13:08:45 +0000 2008", with Howard Hinnant's days-to-civil arithmetic.
void AppendDate(int64_t time_ms, std::string& out) {
  constexpr const char* kDays[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  int64_t days = time_ms / kDayMs;
  int64_t rest = time_ms % kDayMs;
  if (rest < 0) {
    rest += kDayMs;
    --days;
  }
  const int64_t shifted = days + 719'468;  // from 0000-03-01
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const int64_t day_of_era = shifted - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t march_month = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * march_month + 2) / 5 + 1;
  const int64_t month = march_month < 10 ? march_month + 2 : march_month - 10;  // 0 is January
  const int64_t year = year_of_era + era * 400 + (month <= 1 ? 1 : 0);
  const int64_t second = rest / 1000;
  const auto two = [&out](int64_t n) {
    out += static_cast<char>('0' + n / 10);
    out += static_cast<char>('0' + n % 10);
  };
  ((out += kDays[((days % 7) + 7) % 7]) += ' ') += kMonths[month];
  out += ' ';
  two(day);
  out += ' ';
  two(second / 3600);
  out += ':';
  two(second / 60 % 60);
  out += ':';
  two(second % 60);
  out += " +0000 ";
  AppendNumber(year, out);
}

// ---- what tweets speak of

struct Language {
  const char* code;
  std::vector<Text> phrases;
};

std::vector<Text> ToTexts(std::initializer_list<const char*> strings) {
  std::vector<Text> texts;
  for (const char* s : strings) texts.push_back(ToText(s));
  return texts;
}

std::vector<Language> MakeLanguages() {
  std::vector<Language> languages;
  languages.push_back(
      {"en", ToTexts({"just landed and the weather is unreal", "I can't believe this is happening again",
                      "who else is watching the game tonight?", "good morning everyone ☀️",
                      "he said \"no way\" and left", "coffee first, then the world",
                      "this is why we can&apos;t have nice things", "new video is up &gt;&gt; link in bio",
                      "traffic on the bridge is terrible", "so proud of this team 🏆🎉",
                      "can somebody explain the ending to me", "100% agree w/ that",
                      "still thinking about last night's set", "don't forget to vote\nit matters"})});
  languages.push_back(
      {"es", ToTexts({"qué día más largo", "mañana será otro día", "gracias a todos por el apoyo ❤️",
                      "no puedo creer lo que pasó", "vamos con todo", "¿alguien más lo vio?"})});
  languages.push_back(
      {"pt", ToTexts({"bom dia pra quem acordou cedo", "saudade de você", "não aguento mais esse calor",
                      "que jogo foi esse 😂", "amanhã tem mais", "obrigado a todos"})});
  languages.push_back({"ja", ToTexts({"おはようございます", "今日もいい天気ですね", "電車が遅れています",
                                      "お腹すいた〜🍜", "明日から旅行です", "この曲が大好き"})});
  languages.push_back({"ar", ToTexts({"صباح الخير", "اللهم صل على محمد", "الحمد لله على كل حال",
                                      "مساء الورد 🌹", "مبروك للجميع", "يوم جميل"})});
  languages.push_back(
      {"tr", ToTexts({"günaydın İstanbul", "çok güzel bir gün", "yarın görüşürüz", "hava çok sıcak"})});
  languages.push_back({"ko", ToTexts({"오늘도 화이팅", "너무 예쁘다", "내일 만나요 😊", "비가 온다"})});
  languages.push_back(
      {"ru", ToTexts({"доброе утро", "не могу поверить", "завтра будет лучше", "спасибо всем"})});
  return languages;
}

// The quirks come first, so that the most frequent keys have them: a comma, a quote, a tab, scripts, blanks
// around.
// clang-format off
constexpr const char* kQuirkyLocations[] = {
    "London, UK", "New York, NY", "東京", "İstanbul", "São Paulo, Brasil", "  Paris ", "الرياض",
    "Los Angeles, CA", "Jakarta, Indonesia", "London", "🌍 everywhere", "서울", "paris", "Москва, Россия",
    "Washington, DC ", "\tNairobi", "México D.F.", "Lagos | Nigeria", "iPhone: 40.741895,-73.989308",
    "Somewhere over the \"rainbow\"", "日本", "Côte d'Ivoire", "C:\\Users\\home", "القاهرة",
    "Mumbai; India", "大阪市, 日本", "here → there", "NYC ✈ LA", "On the way to\tsuccess", "🇧🇷", "Αθήνα",
    "ไทย", "50% heaven / 50% hell", "Köln", "Hogwarts ⚡", " ❤ ", "null", "  "};
// clang-format on
constexpr const char* kCities[] = {
    "Chicago",      "Houston",      "Toronto",      "Madrid",    "Barcelona",    "Berlin",    "Roma",
    "Lima",         "Bogotá",       "Caracas",      "Santiago",  "Buenos Aires", "Manila",    "Bandung",
    "Kuala Lumpur", "Singapore",    "Delhi",        "Karachi",   "Dubai",        "Jeddah",    "Ankara",
    "İzmir",        "Kyiv",         "Warszawa",     "Praha",     "Wien",         "Amsterdam", "Dublin",
    "Manchester",   "Glasgow",      "Leeds",        "Lyon",      "Marseille",    "Lisboa",    "Porto",
    "Sevilla",      "Monterrey",    "Guadalajara",  "Quito",     "Montréal",     "Vancouver", "Seattle",
    "Portland",     "Denver",       "Dallas",       "Atlanta",   "Miami",        "Orlando",   "Detroit",
    "Boston",       "Philadelphia", "Phoenix",      "名古屋",    "福岡",         "札幌",      "부산",
    "Accra",        "Abuja",        "Johannesburg", "Cape Town", "Sydney",       "Melbourne", "Auckland"};
constexpr const char* kLocationShapes[] = {"{}",      "{}, {}",        "{} / {}", "{} ✈ {}",
                                           "{} & {}", "from {} to {}", "{} - {}", "{} • {}"};
constexpr const char* kTags[] = {
    "NowPlaying", "job",         "日本",    "MTVHottest", "news",   "café", "İstanbul",       "BREAKING",
    "مصر",        "love",        "iPhone",  "Video",      "follow", "tbt",  "music",          "방탄소년단",
    "photo",      "gameinsight", "Android", "football",   "RT",     "jobs", "TeamFollowBack", "sexta",
    "España",     "politics",    "art",     "fashion",    "travel", "food", "Россия",         "happy",
    "nature",     "fitness"};
constexpr const char* kSyllables[] = {"ka", "ri", "mo", "ta", "Lu", "na", "be", "So", "fi", "ja",
                                      "No", "el", "Ma", "ro", "vi", "Da", "ko", "mi", "an", "Za",
                                      "le", "to", "Si", "ra", "ne", "Po", "di", "xa", "hu", "Ga"};
constexpr const char* kNames[] = {
    "María López",       "John Smith", "さくら",       "محمد علي",     "Ana ✨",  "kevin 🏀", "Łukasz",
    "Emma \"Em\" Jones", "民준",       "Olga Петрова", "DJ Tony/Tone", "Zeynep", "b̶o̶b̶",     "Chloé"};
constexpr const char* kSources[] = {
    "<a href=\"http://twitter.com/download/iphone\" rel=\"nofollow\">Twitter for iPhone</a>",
    "<a href=\"http://twitter.com/download/android\" rel=\"nofollow\">Twitter for Android</a>",
    "<a href=\"http://twitter.com\" rel=\"nofollow\">Twitter Web Client</a>", "web"};
constexpr const char* kColors[] = {"C0DEED", "0084B4", "131516", "DDEEF6",
                                   "333333", "EDECE9", "1A1B1F", "FFF7CC"};
constexpr const char* kZones[] = {"\"London\"", "\"Tokyo\"", "\"Pacific Time (US & Canada)\"", "\"Brasilia\"",
                                  "null"};

struct Vocabulary {
  std::vector<Language> languages = MakeLanguages();
  std::vector<Text> locations, hashtags, names, sources, descriptions, places;

  Vocabulary() {
    for (const char* s : kQuirkyLocations) locations.push_back(ToText(s));
    constexpr uint32_t kCityCount = std::size(kCities);
    constexpr uint32_t kShapeCount = std::size(kLocationShapes);
    for (uint32_t i = 0; locations.size() < kLocations; ++i) {
      // Cities first, alone; then pairs of cities that differ.
      const uint32_t a = i % kCityCount;
      const uint32_t shape = i < kCityCount ? 0 : 1 + (i / kCityCount) % (kShapeCount - 1);
      const uint32_t b = (a + 1 + (i / kCityCount) / (kShapeCount - 1)) % kCityCount;
      if (a != b)
        locations.push_back(
            ToText(fmt::format(fmt::runtime(kLocationShapes[shape]), kCities[a], kCities[b])));
    }
    constexpr uint32_t kTagCount = std::size(kTags);
    for (uint32_t i = 0; i < kHashtags; ++i) {
      const char* tag = kTags[i % kTagCount];
      hashtags.push_back(ToText(i < kTagCount ? std::string(tag) : fmt::format("{}{}", tag, i / kTagCount)));
    }
    for (const char* s : kNames) names.push_back(ToText(s));
    for (const char* s : kSources) sources.push_back(ToText(s));
    descriptions = ToTexts({"", "music lover. opinions are my own", "Fotógrafa / viajera / café ☕",
                            "22 | she/her | 📍 somewhere\nDM for business", "非公式です。毎日つぶやきます",
                            "محب للقراءة", "husband, father, engineer \\o/ & part-time drummer"});
    for (
        const char* place :
        {R"("id":"457b4814b4240d87","url":"https:\/\/api.twitter.com\/1.1\/geo\/id\/457b4814b4240d87.json","place_type":"city","name":"London","full_name":"London, England","country_code":"GB","country":"United Kingdom")",
         R"("id":"a307591cd0413588","url":"https:\/\/api.twitter.com\/1.1\/geo\/id\/a307591cd0413588.json","place_type":"city","name":"Buffalo","full_name":"Buffalo, NY","country_code":"US","country":"United States")",
         R"("id":"e019d5f5fc2d8b7a","url":"https:\/\/api.twitter.com\/1.1\/geo\/id\/e019d5f5fc2d8b7a.json","place_type":"admin","name":"T\u00fcrkiye","full_name":"T\u00fcrkiye","country_code":"TR","country":"T\u00fcrkiye")"}) {
      places.push_back({{place, place}, 0});
    }
  }
};

const Vocabulary& Words() {
  static const Vocabulary* const words = new Vocabulary();
  return *words;
}

// How a mention is spelt: the handle as its owner writes it, or in one case. Twitter itself sends the
// owner's.
enum class Case : uint8_t { kOwn, kLower, kUpper };

void AppendHandle(uint32_t user, Case spelling, std::string& out) {
  const size_t begin = out.size();
  Random random(Mix(user + 0x75736572));
  for (uint32_t n = 2 + random.Below(2); n > 0; --n) out += kSyllables[random.Below(std::size(kSyllables))];
  if (random.Percent(30)) out += '_';
  AppendNumber(user, out);  // makes it unique
  for (size_t i = begin; i < out.size() && spelling != Case::kOwn; ++i) {
    const char c = out[i];
    if (spelling == Case::kLower && c >= 'A' && c <= 'Z') out[i] = static_cast<char>(c + 32);
    if (spelling == Case::kUpper && c >= 'a' && c <= 'z') out[i] = static_cast<char>(c - 32);
  }
}

int64_t UserId(uint32_t user) { return 1'000 + int64_t{user} * 29'989; }

// ---- one status

struct Mention {
  uint32_t user;
  Case spelling;
  int32_t begin, end;
};
struct Hashtag {
  uint32_t tag;
  int32_t begin, end;
};

template <typename T, size_t kCapacity>
struct Few {  // never on the heap
  std::array<T, kCapacity> items;
  size_t size = 0;
  void Add(const T& item) {
    if (size < kCapacity) items[size++] = item;
  }
};

// The text of a status and what is marked in it, before either is written.
struct Draft {
  std::string text;  // JSON, between the quotes
  int32_t code_points = 0;
  Few<Mention, 12> mentions;
  Few<Hashtag, 8> hashtags;
  bool has_url = false;
  int32_t url_begin = 0;
  // Where a truncated copy of it ends.
  struct Cut {
    size_t text = 0, mentions = 0, hashtags = 0;
    int32_t code_points = 0;
  } cut;

  void Clear() {
    text.clear();
    code_points = 0;
    mentions.size = hashtags.size = 0;
    has_url = false;
  }
  void Say(std::string_view ascii) {
    text += ascii;
    code_points += static_cast<int32_t>(ascii.size());
  }
  void Say(const Text& words, bool escaped) {
    text += words.in(escaped);
    code_points += words.code_points;
  }
  void SayMention(uint32_t user, Case spelling) {
    const int32_t begin = code_points;
    const size_t at = text.size();
    text += '@';
    AppendHandle(user, spelling, text);
    code_points += static_cast<int32_t>(text.size() - at);
    mentions.Add({user, spelling, begin, code_points});
  }
  void SayHashtag(uint32_t tag, bool escaped) {
    const int32_t begin = code_points;
    Say("#");
    Say(Words().hashtags[tag], escaped);
    hashtags.Add({tag, begin, code_points});
  }
  void MarkCut() { cut = {text.size(), mentions.size, hashtags.size, code_points}; }
};

constexpr std::string_view kUrl = "http:\\/\\/t.co\\/x7Kq2LmZp0";
constexpr int32_t kUrlCodePoints = 22;

// Words, mentions, hashtags, as a person would mix them. The same `random` gives the same status.
void Compose(Random& random, const Language& language, bool escaped, bool is_long, Draft& draft) {
  const uint32_t shape = random.Below(100);
  const uint32_t mentions = shape < 55 ? 0 : shape < 82 ? 1 : shape < 94 ? 2 : shape < 98 ? 3 : 5;
  const auto mention = [&] {
    const uint32_t user = random.Zipf(kUsers);
    const uint32_t spelling = random.Below(20);
    draft.SayMention(user, spelling == 0 ? Case::kUpper : spelling == 1 ? Case::kLower : Case::kOwn);
    draft.Say(" ");
    if (random.Below(150) == 0) {  // twice in one tweet counts twice
      draft.SayMention(user, Case::kOwn);
      draft.Say(" ");
    }
  };
  const auto phrase = [&] {
    draft.Say(language.phrases[random.Below(static_cast<uint32_t>(language.phrases.size()))], escaped);
  };
  const auto hashtag = [&] {
    draft.Say(" ");
    draft.SayHashtag(random.Zipf(kHashtags), escaped);
  };
  for (uint32_t i = 0; i < mentions; ++i) mention();
  phrase();
  draft.MarkCut();
  if (is_long) {
    for (int i = 0; i < 3; ++i) {
      draft.Say(". ");
      phrase();
    }
    if (random.Percent(50)) {
      draft.Say(" ");
      draft.SayMention(random.Zipf(kUsers), Case::kOwn);
    }
    hashtag();
  } else if (random.Percent(50)) {
    draft.Say(" ");
    phrase();
  }
  if (random.Percent(16)) {
    hashtag();
    while (random.Percent(40)) hashtag();
  }
  if (random.Percent(25)) {
    draft.Say(" ");
    draft.has_url = true;
    draft.url_begin = draft.code_points;
    draft.text += kUrl;
    draft.code_points += kUrlCodePoints;
  }
}

uint64_t Share(double share) { return static_cast<uint64_t>(share * 4294967296.0); }  // of 2^32

}  // namespace

// Writes line after line; all that changes from one to the next is in here.
class TweetGenerator::Writer {
 public:
  explicit Writer(const TweetGeneratorOptions& options)
      : options_(options),
        milli_rate_(static_cast<int64_t>(options.rate * 1000 + 0.5)),
        random_(Mix(options.seed + 1)),
        retweets_(kStatuses) {
    for (uint32_t status = 0; status < kStatuses; ++status) {
      Random random(Mix(options.seed + status));
      if (!random.Percent(20))
        retweets_[status] = random.Zipf(20'000);  // the others are fresh: their count is 0
    }
  }

  bool Next(std::string& out) {
    if (options_.count >= 0 && line_ >= options_.count) return false;
    out.clear();
    // Position in the stream. 128 bits: lines * 10^6 / milli-rate must not lose the remainder.
    const int64_t position_ms =
        options_.start_ms + static_cast<int64_t>(static_cast<__int128>(line_) * 1'000'000 / milli_rate_);
    // Within [position, position + disorder]: whatever came before is at most disorder ahead. Most are near
    // the upper end, a few straggle, as in captures.
    const int64_t ahead =
        options_.disorder_ms -
        static_cast<int64_t>(static_cast<__int128>(options_.disorder_ms) * random_.Next() >> 32) *
            random_.Below(1'000) / 1'000;
    const int64_t time_ms = position_ms + ahead;

    uint64_t draw = random_.Next();
    const auto is = [&draw](double share) {
      const uint64_t size = Share(share);
      if (draw < size) return true;
      draw -= size;
      return false;
    };
    if (is(options_.invalid)) {
      WriteTweet(time_ms, out);
      Damage(out);
      ++counts_.invalid;
    } else if (is(options_.notices)) {
      WriteNotice(time_ms, out);
      ++counts_.notices;
    } else if (is(options_.late)) {
      WriteTweet(position_ms - options_.late_by_ms, out);
      ++counts_.late;
    } else if (is(options_.outliers)) {
      WriteTweet(time_ms + (365 + random_.Below(730)) * kDayMs, out);
      ++counts_.outliers;
    } else if (is(options_.future)) {
      WriteTweet(k2099Ms + random_.Below(365) * kDayMs + random_.Below(86'400'000), out);
      ++counts_.future;
    } else {
      WriteTweet(time_ms, out);
      ++counts_.tweets;
    }
    ++line_;
    return true;
  }

  const Counts& counts() const { return counts_; }

 private:
  bool full() const { return options_.size == TweetGeneratorOptions::Size::kFull; }

  // Twitter's: milliseconds since its epoch above, what makes it unique below. Beyond 2^53.
  int64_t StatusId(int64_t time_ms) const {
    const int64_t since = time_ms - kTwitterEpochMs;
    return since <= 0 ? line_ + 1 : (since << 22) | (line_ & 0x3fffff);
  }

  void WriteTweet(int64_t time_ms, std::string& out) {
    const Vocabulary& words = Words();
    escaped_ = random_.Percent(60);
    const Language& language = PickLanguage(random_);
    const uint32_t author = random_.Below(kUsers);
    const bool is_retweet = random_.Percent(27);
    const bool is_truncated = !is_retweet && random_.Percent(5);

    draft_.Clear();
    uint32_t status = 0;
    if (is_retweet) {
      status = random_.Zipf(kStatuses);
      original_.Clear();
      ComposeStatus(status, original_);
      draft_.Say("RT ");
      draft_.SayMention(StatusAuthor(status), Case::kOwn);
      draft_.Say(": ");
      const int32_t shift = draft_.code_points;
      draft_.text += original_.text;
      draft_.code_points += original_.code_points;
      for (size_t i = 0; i < original_.mentions.size; ++i) {
        const Mention& m = original_.mentions.items[i];
        draft_.mentions.Add({m.user, m.spelling, m.begin + shift, m.end + shift});
      }
      for (size_t i = 0; i < original_.hashtags.size; ++i) {
        const Hashtag& h = original_.hashtags.items[i];
        draft_.hashtags.Add({h.tag, h.begin + shift, h.end + shift});
      }
      draft_.has_url = original_.has_url;
      draft_.url_begin = original_.url_begin + shift;
    } else {
      Compose(random_, language, escaped_, is_truncated, draft_);
    }

    // Readers must not rely on the order of keys: a tenth has the time first and the user last.
    const bool user_last = random_.Percent(10);
    const int64_t id = StatusId(time_ms);
    out += user_last ? R"({"timestamp_ms":")" : R"({"created_at":")";
    if (user_last) {
      AppendNumber(time_ms, out);
      out += R"(","created_at":")";
    }
    AppendDate(time_ms, out);
    out += '"';
    if (full()) {
      out += R"(,"id":)";
      AppendNumber(id, out);
    }
    out += R"(,"id_str":")";
    AppendNumber(id, out);
    out += '"';
    WriteText("text", draft_, is_truncated, out);
    // Drawn for small tweets too: both sizes tell of the same events.
    const uint32_t source = random_.Below(static_cast<uint32_t>(words.sources.size()));
    const bool has_place = random_.Percent(15);
    const uint32_t place = random_.Below(static_cast<uint32_t>(words.places.size()));
    if (full()) {
      out += R"(,"source":")";
      out += words.sources[source].in(escaped_);
      out += is_truncated ? R"(","truncated":true)" : R"(","truncated":false)";
      out += R"(,"in_reply_to_status_id":null,"in_reply_to_status_id_str":null,"in_reply_to_user_id":null,)"
             R"("in_reply_to_user_id_str":null,"in_reply_to_screen_name":null)";
    }
    if (!user_last) WriteUser(author, out);
    if (full()) {
      out += R"(,"geo":null,"coordinates":null,"place":)";
      if (has_place) {
        out += '{';
        out += words.places[place].in(false);
        out +=
            R"(,"bounding_box":{"type":"Polygon","coordinates":[[[-0.510365,51.286702],[-0.510365,51.691824],)"
            R"([0.334043,51.691824],[0.334043,51.286702]]]},"attributes":{}})";
      } else {
        out += "null";
      }
      out += R"(,"contributors":null)";
    }
    if (is_retweet) WriteRetweetedStatus(status, out);
    if (is_truncated) {
      out += R"(,"extended_tweet":{"full_text":")";
      out += draft_.text;
      out += R"(","display_text_range":[0,)";
      AppendNumber(draft_.code_points, out);
      out += ']';
      WriteEntities(draft_, /*is_truncated=*/false, out);
      out += '}';
    }
    if (full()) out += R"(,"is_quote_status":false,"retweet_count":0,"favorite_count":0)";
    WriteEntities(draft_, is_truncated, out);
    if (full())
      out += R"(,"favorited":false,"retweeted":false,"possibly_sensitive":false,"filter_level":"low")";
    out += R"(,"lang":")";
    out += language.code;
    out += '"';
    if (user_last) {
      WriteUser(author, out);
    } else {
      out += R"(,"timestamp_ms":")";
      AppendNumber(time_ms, out);
      out += '"';
    }
    out += '}';
  }

  static const Language& PickLanguage(Random& random) {
    const auto& languages = Words().languages;
    return languages[random.Zipf(static_cast<uint32_t>(languages.size()))];
  }

  // What a retweeted status says follows from its number and the seed: it is the same each time.
  Random StatusRandom(uint32_t status) const {
    return Random(Mix(options_.seed ^ (uint64_t{status} << 32) ^ 0x7374617475));
  }
  uint32_t StatusAuthor(uint32_t status) const { return StatusRandom(status).Zipf(kUsers); }
  void ComposeStatus(uint32_t status, Draft& draft) const {
    Random random = StatusRandom(status);
    (void)random.Zipf(kUsers);  // its author
    const Language& language = PickLanguage(random);
    Compose(random, language, escaped_, /*is_long=*/false, draft);
  }

  void WriteRetweetedStatus(uint32_t status, std::string& out) {
    const uint64_t hash = Mix(options_.seed + status);
    const int64_t posted_ms = options_.start_ms - static_cast<int64_t>(hash % 172'800'000) - 1;
    const int64_t since = posted_ms - kTwitterEpochMs;
    const int64_t id = since <= 0 ? int64_t{status} + 1 : (since << 22) | status;
    // Runs on with every retweet seen, and with those that the stream does not show.
    const uint32_t step = static_cast<uint32_t>(hash >> 60);
    const uint32_t count = retweets_[status];
    retweets_[status] += 1 + random_.Below(step + 1);
    out += R"(,"retweeted_status":{)";
    if (full()) {
      out += R"("created_at":")";
      AppendDate(posted_ms, out);
      out += R"(","id":)";
      AppendNumber(id, out);
      out += ',';
    }
    out += R"("id_str":")";
    AppendNumber(id, out);
    out += '"';
    if (full()) {
      WriteText("text", original_, /*is_truncated=*/false, out);
      out += R"(,"truncated":false)";
      WriteUser(StatusAuthor(status), out);
      out += R"(,"geo":null,"coordinates":null,"place":null,"contributors":null)";
    }
    out += R"(,"retweet_count":)";
    AppendNumber(count, out);
    if (full()) {
      out += R"(,"favorite_count":)";
      AppendNumber(int64_t{count} * 2, out);
      WriteEntities(original_, /*is_truncated=*/false, out);
      out += R"(,"favorited":false,"retweeted":false)";
    }
    out += '}';
  }

  void WriteText(std::string_view field, const Draft& draft, bool is_truncated, std::string& out) {
    ((out += ",\"") += field) += "\":\"";
    if (is_truncated) {
      out.append(draft.text, 0, draft.cut.text);
      out += escaped_ ? "\\u2026 " : "… ";
      out += kUrl;
    } else {
      out += draft.text;
    }
    out += '"';
  }

  void WriteEntities(const Draft& draft, bool is_truncated, std::string& out) {
    const size_t hashtags = is_truncated ? draft.cut.hashtags : draft.hashtags.size;
    const size_t mentions = is_truncated ? draft.cut.mentions : draft.mentions.size;
    out += R"(,"entities":{"hashtags":[)";
    for (size_t i = 0; i < hashtags; ++i) {
      const Hashtag& h = draft.hashtags.items[i];
      out += i == 0 ? R"({"text":")" : R"(,{"text":")";
      out += Words().hashtags[h.tag].in(escaped_);
      out += '"';
      WriteIndices(h.begin, h.end, out);
    }
    if (full()) {
      out += R"(],"trends":[],"urls":[)";
      if (is_truncated || draft.has_url) {
        const int32_t begin = is_truncated ? draft.cut.code_points + 2 : draft.url_begin;
        ((out += R"({"url":")") += kUrl) +=
            R"(","expanded_url":"http:\/\/example.com\/story","display_url":"example.com\/story")";
        WriteIndices(begin, begin + kUrlCodePoints, out);
      }
    }
    out += R"(],"user_mentions":[)";
    for (size_t i = 0; i < mentions; ++i) {
      const Mention& m = draft.mentions.items[i];
      out += i == 0 ? R"({"screen_name":")" : R"(,{"screen_name":")";
      AppendHandle(m.user, m.spelling, out);
      out += '"';
      if (full()) {
        ((out += R"(,"name":")") += Words().names[m.user % std::size(kNames)].in(escaped_)) += R"(","id":)";
        AppendNumber(UserId(m.user), out);
        out += R"(,"id_str":")";
        AppendNumber(UserId(m.user), out);
        out += '"';
      }
      WriteIndices(m.begin, m.end, out);
    }
    out += full() ? R"(],"symbols":[]})" : "]}";
  }

  void WriteIndices(int32_t begin, int32_t end, std::string& out) {
    if (full()) {
      out += R"(,"indices":[)";
      AppendNumber(begin, out);
      out += ',';
      AppendNumber(end, out);
      out += ']';
    }
    out += '}';
  }

  // A user is the same wherever seen; all but counters follows from the number.
  void WriteUser(uint32_t user, std::string& out) {
    const Vocabulary& words = Words();
    Random random(Mix(user + 0x686f6d65));
    out += R"(,"user":{)";
    if (full()) {
      out += R"("id":)";
      AppendNumber(UserId(user), out);
      out += R"(,"id_str":")";
      AppendNumber(UserId(user), out);
      ((out += R"(","name":")") += words.names[user % std::size(kNames)].in(escaped_)) += "\",";
    }
    out += R"("screen_name":")";
    AppendHandle(user, Case::kOwn, out);
    out += R"(","location":)";
    const uint32_t where = random.Below(100);  // as in captures: 60 of 100 have one
    if (where < 12) {
      out += "null";
    } else if (where < 39) {
      out += "\"\"";
    } else {
      ((out += '"') += words.locations[random.Zipf(kLocations)].in(escaped_)) += '"';
    }
    if (full()) {
      const char* color = kColors[random.Below(std::size(kColors))];
      ((out += R"(,"url":null,"description":")") +=
       words.descriptions[random.Below(static_cast<uint32_t>(words.descriptions.size()))].in(escaped_)) +=
          '"';
      out += R"(,"protected":false,"verified":)";
      out += random.Percent(2) ? "true" : "false";
      out += R"(,"followers_count":)";
      AppendNumber(random.Zipf(1'000'000), out);
      out += R"(,"friends_count":)";
      AppendNumber(random.Zipf(5'000), out);
      out += R"(,"listed_count":)";
      AppendNumber(random.Zipf(300), out);
      out += R"(,"favourites_count":)";
      AppendNumber(random.Below(20'000), out);
      out += R"(,"statuses_count":)";
      AppendNumber(random.Below(90'000) + 1, out);
      out += R"(,"created_at":")";
      AppendDate(1'200'000'000'000 + int64_t{random.Below(2'000)} * 86'399'000, out);
      out += R"(","utc_offset":null,"time_zone":)";
      out += kZones[random.Below(std::size(kZones))];
      out += R"(,"geo_enabled":false,"lang":"en","contributors_enabled":false,"is_translator":false,)"
             R"("profile_background_color":")";
      out += color;
      out +=
          R"(","profile_background_image_url":"http:\/\/abs.twimg.com\/images\/themes\/theme1\/bg.png",)"
          R"("profile_background_image_url_https":"https:\/\/abs.twimg.com\/images\/themes\/theme1\/bg.png",)"
          R"("profile_background_tile":false,"profile_link_color":")";
      out += color;
      out += R"(","profile_sidebar_border_color":"FFFFFF","profile_sidebar_fill_color":"DDEEF6",)"
             R"("profile_text_color":"333333","profile_use_background_image":true,"profile_image_url":)"
             R"("http:\/\/pbs.twimg.com\/profile_images\/)";
      AppendNumber(UserId(user) * 31, out);
      out += R"(\/photo_normal.jpg","profile_image_url_https":"https:\/\/pbs.twimg.com\/profile_images\/)";
      AppendNumber(UserId(user) * 31, out);
      out += R"(\/photo_normal.jpg","default_profile":false,"default_profile_image":false,"following":null,)"
             R"("follow_request_sent":null,"notifications":null)";
    }
    out += '}';
  }

  void WriteNotice(int64_t time_ms, std::string& out) {
    if (random_.Percent(10)) {
      out += R"({"limit":{"track":)";
      AppendNumber(line_, out);
      out += "}}";
      return;
    }
    const int64_t id = StatusId(time_ms - random_.Below(86'400'000));
    const int64_t user = UserId(random_.Below(kUsers));
    out += R"({"delete":{"status":{"id":)";
    AppendNumber(id, out);
    out += R"(,"id_str":")";
    AppendNumber(id, out);
    out += R"(","user_id":)";
    AppendNumber(user, out);
    out += R"(,"user_id_str":")";
    AppendNumber(user, out);
    out += R"("})";
    if (random_.Percent(30)) {  // inside the notice: no event time of the line
      out += R"(,"timestamp_ms":")";
      AppendNumber(time_ms, out);
      out += '"';
    }
    out += "}}";
  }

  // Makes a line invalid under every reading of JSON that the engine offers.
  void Damage(std::string& line) {
    switch (random_.Below(7)) {
      case 0:  // the connection broke
        line.resize(1 + random_.Below(static_cast<uint32_t>(line.size() - 1)));
        break;
      case 1:
        line += '}';
        break;
      case 2:  // two writers, one line
        line += R"({"text":"and another"})";
        break;
      case 3:
        line.insert(2, 1, '\xff');  // inside the first key
        break;
      case 4:
        line.back() = ',';
        line += '}';
        break;
      case 5:  // a key without quotes
        line.erase(line.find('"', 2), 1);
        line.erase(1, 1);
        break;
      default:
        line.back() = ']';
        break;
    }
  }

  const TweetGeneratorOptions options_;
  const int64_t milli_rate_;  // lines per 1,000 s
  Random random_;
  int64_t line_ = 0;
  Counts counts_;
  std::vector<uint32_t> retweets_;  // retweet_count so far, by status
  bool escaped_ = false;            // the spelling of the line under way
  Draft draft_, original_;
};

TweetGenerator::TweetGenerator(const TweetGeneratorOptions& options)
    : writer_(std::make_unique<Writer>(options)) {}
TweetGenerator::~TweetGenerator() = default;

absl::StatusOr<std::unique_ptr<TweetGenerator>> TweetGenerator::Create(const TweetGeneratorOptions& options) {
  if (!(options.rate >= 0.001 && options.rate <= 1e9)) {
    return absl::InvalidArgumentError(
        fmt::format("--rate {}: from 0.001 to 1000000000 tweets per second", options.rate));
  }
  // Keeps every sum of times within 64 bits and within four-digit years.
  constexpr int64_t kMostMs = 100LL * 365 * kDayMs;
  if (options.start_ms < -kMostMs || options.start_ms > 2 * kMostMs) {
    return absl::InvalidArgumentError(fmt::format("--start {} ms: from 1870 to 2169", options.start_ms));
  }
  if (options.disorder_ms < 0 || options.disorder_ms > kMostMs) {
    return absl::InvalidArgumentError(
        fmt::format("--disorder {} ms: from 0 to 100 years", options.disorder_ms));
  }
  if (options.late_by_ms < 0 || options.late_by_ms > kMostMs) {
    return absl::InvalidArgumentError(fmt::format("late_by {} ms: from 0 to 100 years", options.late_by_ms));
  }
  double sum = 0;
  for (const auto& [name, share] :
       {std::pair("invalid", options.invalid), std::pair("notices", options.notices),
        std::pair("late", options.late), std::pair("outliers", options.outliers),
        std::pair("future", options.future)}) {
    if (!(share >= 0 && share <= 1)) {
      return absl::InvalidArgumentError(fmt::format("share of {} {}: from 0 to 1", name, share));
    }
    sum += share;
  }
  if (sum > 1 + 1e-9) {
    return absl::InvalidArgumentError(
        fmt::format("the shares of special lines add up to {}; at most 1 is possible", sum));
  }
  return std::unique_ptr<TweetGenerator>(new TweetGenerator(options));
}

bool TweetGenerator::Next(std::string& line) { return writer_->Next(line); }

const TweetGenerator::Counts& TweetGenerator::counts() const { return writer_->counts(); }

}  // namespace weir
