package peers.flink;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;
import peers.common.Job;
import peers.common.Tweet;

/**
 * Flink SQL: HOP over the union of both kinds. The plan has one scan of the source for both branches, the watermark in the source
 * (so per partition), and local before global aggregation over slices one slide long, which the windows share.
 *
 * <p>The source declares only what is needed; its JSON decoder skips the rest. created_at is parsed by a function of our own,
 * since the planner computes it twice, for the watermark and for the projection, and TO_TIMESTAMP with a pattern is slow.
 */
public final class SqlJob {
    /** created_at as TIMESTAMP(3). */
    public static final class TweetTime extends ScalarFunction {
        private String last = "";
        private TimestampData lastTime;

        public @DataTypeHint(value = "TIMESTAMP(3)", bridgedTo = TimestampData.class) TimestampData eval(String createdAt) {
            Job.sawRecord();
            if (!createdAt.equals(last)) {
                lastTime = TimestampData.fromEpochMillis(1000 * Tweet.createdAtSeconds(createdAt));
                last = createdAt;
            }
            return lastTime;
        }
    }

    private static final String TWEETS = """
            CREATE TABLE tweets (
              created_at STRING,
              `user` ROW<location STRING>,
              entities ROW<user_mentions ARRAY<ROW<screen_name STRING>>>,
              ts AS TWEET_TIME(created_at),
              WATERMARK FOR ts AS ts - INTERVAL '%d' SECOND
            ) WITH (
              'connector' = 'kafka',
              'topic' = '%s',
              'properties.bootstrap.servers' = '%s',
              'properties.group.id' = 'weir-peers-flink-sql',
              'properties.commit.offsets.on.checkpoint' = 'false',
              'scan.startup.mode' = 'earliest-offset',
              'scan.bounded.mode' = 'latest-offset',
              'format' = 'json'
            )""";

    private static final String ROWS = """
            CREATE TABLE counts (line STRING) WITH (
              'connector' = 'filesystem',
              'path' = '%s',
              'sink.rolling-policy.file-size' = '1GB',
              'sink.rolling-policy.rollover-interval' = '1 d',
              'format' = 'raw'
            )""";

    // BTRIM strips any of the characters given; LOWER is Unicode's, which on screen names is ASCII's.
    private static final String KEYS = """
            CREATE TEMPORARY VIEW keys AS
            SELECT ts, 'location' AS kind, BTRIM(`user`.location, U&' \\0009\\000A\\000B\\000C\\000D') AS key
            FROM tweets WHERE BTRIM(`user`.location, U&' \\0009\\000A\\000B\\000C\\000D') <> ''
            UNION ALL
            SELECT ts, 'mention' AS kind, LOWER(mention.screen_name) AS key
            FROM tweets CROSS JOIN UNNEST(tweets.entities.user_mentions) AS mention (screen_name)
            WHERE mention.screen_name <> ''""";

    private static final String COUNTS = """
            INSERT INTO counts
            SELECT CONCAT_WS(',', kind, CAST(TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', window_start) AS STRING),
                             CAST(n AS STRING), key)
            FROM (
              SELECT kind, key, window_start, COUNT(*) AS n
              FROM HOP(TABLE keys, DESCRIPTOR(ts), INTERVAL '%d' SECOND(6), INTERVAL '%d' SECOND(6))
              GROUP BY kind, key, window_start, window_end)""";

    public static void main(String[] arguments) throws Exception {
        Configuration settings = new Configuration();
        settings.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.parse("512m"));
        StreamTableEnvironment tables = StreamTableEnvironment.create(Flink.environment(settings));
        tables.getConfig().set("table.local-time-zone", "UTC");
        tables.getConfig().set("table.exec.mini-batch.enabled", "true");
        tables.getConfig().set("table.exec.mini-batch.allow-latency", "1 s");
        tables.getConfig().set("table.exec.mini-batch.size", "5000");
        tables.getConfig().set("table.optimizer.agg-phase-strategy", "TWO_PHASE");

        tables.createTemporarySystemFunction("TWEET_TIME", TweetTime.class);
        tables.executeSql(TWEETS.formatted(Job.DELAY_S, Job.TOPIC, Job.BROKERS));
        tables.executeSql(ROWS.formatted(Job.ROWS.toUri()));
        tables.executeSql(KEYS);
        tables.executeSql(COUNTS.formatted(Job.SLIDE_S, Job.WINDOW_S)).await();
        Job.done(Job.secondsSinceFirstRecord(), -1);  // TWEET_TIME is called more than once for a record
        System.exit(0);  // threads of the cluster may linger
    }
}
