package peers.common;

import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.atomic.LongAdder;

/** What every Java peer needs: its settings, the form of a row, and when it worked. */
public final class Job {
    public static final String BROKERS = setting("BROKERS");
    public static final String TOPIC = setting("TOPIC");
    public static final Path ROWS = Path.of(setting("ROWS"));        // CSV files go here
    public static final Path SCRATCH = Path.of(setting("SCRATCH"));  // state and checkpoints
    public static final long WINDOW_S = Long.parseLong(setting("WINDOW_S"));
    public static final long SLIDE_S = Long.parseLong(setting("SLIDE_S"));
    public static final long DELAY_S = Long.parseLong(setting("DELAY_S"));  // how far out of order a partition may be
    public static final int CORES = Integer.parseInt(setting("CORES"));

    private static final LongAdder records = new LongAdder();
    private static volatile long firstNanos;

    private Job() {}

    private static String setting(String name) {
        String value = System.getenv("PEER_" + name);
        if (value == null) throw new IllegalStateException("PEER_" + name + " is not set: start jobs by benchmarks/peers/run");
        return value;
    }

    /** Called when a record reaches the job's own code. */
    public static void sawRecord() {
        if (firstNanos == 0) firstNanos = System.nanoTime();
        records.increment();
    }

    public static long recordsSeen() {
        return records.sum();
    }

    /** `key` has its kind in front: L for a location, M for a mention. */
    public static StringBuilder appendRow(StringBuilder out, String key, long startSeconds, long count) {
        return out.append(kind(key.charAt(0))).append(',').append(startSeconds).append(',').append(count).append(',')
                .append(key, 1, key.length()).append('\n');
    }

    public static String kind(char letter) {
        return letter == 'L' ? "location" : "mention";
    }

    public static double secondsSinceFirstRecord() {
        return (System.nanoTime() - firstNanos) / 1e9;
    }

    /** Called when the last row is written: tells `run` so. `records` below zero: not known. */
    public static void done(double steadySeconds, long records) {
        System.out.printf(Locale.ROOT, "{\"steady_s\": %.3f, \"ended_at\": %.3f, \"records\": %s}%n", steadySeconds,
                System.currentTimeMillis() / 1e3, records < 0 ? "null" : records);
        System.out.flush();
    }

    public static void done() {
        done(secondsSinceFirstRecord(), recordsSeen());
    }
}
