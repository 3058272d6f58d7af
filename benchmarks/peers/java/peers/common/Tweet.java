package peers.common;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;

/**
 * The fields of one tweet that the job needs; filled anew for each message. Jackson's pull parser over the bytes, which stops as
 * soon as it has all three, so that the rest of a message is not even read.
 */
public final class Tweet {
    private static final JsonFactory JSON = JsonFactory.builder().disable(JsonFactory.Feature.INTERN_FIELD_NAMES).build();
    private static final String MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";

    public long eventTimeMs;
    /** With their kind in front, L for a location and M for a mention. */
    public final List<String> keys = new ArrayList<>();

    private String lastCreatedAt = "";  // many tweets share a second
    private long lastMs;

    public void parse(byte[] message) throws IOException {
        keys.clear();
        eventTimeMs = Long.MIN_VALUE;
        try (JsonParser json = JSON.createParser(message)) {
            json.nextToken();
            int missing = 3;
            for (String field; missing > 0 && (field = json.nextFieldName()) != null; ) {
                json.nextToken();
                switch (field) {
                    case "created_at" -> {
                        eventTimeMs = createdAt(json.getText());
                        missing--;
                    }
                    case "user" -> {
                        member(json, "location", () -> addKey('L', trim(json.getText())));
                        missing--;
                    }
                    case "entities" -> {
                        member(json, "user_mentions", () -> {
                            while (json.nextToken() != JsonToken.END_ARRAY) {
                                member(json, "screen_name", () -> addKey('M', lower(json.getText())));
                            }
                        });
                        missing--;
                    }
                    default -> json.skipChildren();
                }
            }
        }
        if (eventTimeMs == Long.MIN_VALUE) throw new IOException("a tweet without created_at");
    }

    private interface Value {
        void read() throws IOException;
    }

    /** Reads one member of the value that the parser stands on, unless that is no object or the member is null. */
    private static void member(JsonParser json, String name, Value value) throws IOException {
        if (json.currentToken() != JsonToken.START_OBJECT) {
            json.skipChildren();
            return;
        }
        for (String field; (field = json.nextFieldName()) != null; ) {
            if (json.nextToken() != JsonToken.VALUE_NULL && field.equals(name)) {
                value.read();
            } else {
                json.skipChildren();
            }
        }
    }

    private void addKey(char kind, String name) {
        if (!name.isEmpty()) keys.add(kind + name);
    }

    private static boolean isSpace(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
    }

    private static String trim(String text) {
        int begin = 0, end = text.length();
        while (begin < end && isSpace(text.charAt(begin))) begin++;
        while (end > begin && isSpace(text.charAt(end - 1))) end--;
        return text.substring(begin, end);
    }

    /** ASCII only. */
    private static String lower(String text) {
        char[] folded = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c >= 'A' && c <= 'Z') {
                if (folded == null) folded = text.toCharArray();
                folded[i] += 'a' - 'A';
            }
        }
        return folded == null ? text : new String(folded);
    }

    private long createdAt(String text) throws IOException {
        if (!text.equals(lastCreatedAt)) {
            lastMs = 1000 * createdAtSeconds(text);
            lastCreatedAt = text;
        }
        return lastMs;
    }

    /** "Sun Mar 01 00:00:03 +0000 2015" as epoch seconds. */
    public static long createdAtSeconds(String text) {
        if (text.length() != 30) throw new IllegalArgumentException("created_at \"" + text + "\"");
        int month = MONTHS.indexOf(text.substring(4, 7)) / 3 + 1;
        long day = LocalDate.of(number(text, 26) * 100 + number(text, 28), month, number(text, 8)).toEpochDay();
        return ((day * 24 + number(text, 11)) * 60 + number(text, 14)) * 60 + number(text, 17);
    }

    /** The two digits at `at`. */
    private static int number(String text, int at) {
        return (text.charAt(at) - '0') * 10 + text.charAt(at + 1) - '0';
    }
}
