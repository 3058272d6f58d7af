package peers.flink;

import java.io.IOException;
import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import peers.common.Job;
import peers.common.Tweet;

/**
 * Flink DataStream. Argument `windows`: SlidingEventTimeWindows; `panes`: one function over panes by hand (Panes).
 *
 * <p>What is shuffled is one String, of Flink's own basic types (its advice on serialization), with the event time beside it. The
 * windows keep one Long each (incremental aggregation; the documentation warns of windows that keep their elements), and as it
 * also warns, sliding windows do that once for each window a record falls into.
 *
 * <p>Watermarks are per partition (given to fromSource), so skew between partitions makes nothing late.
 */
public final class DataStreamJob {
    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment flink = Flink.environment(new Configuration());
        KafkaSource<Tweet> source = KafkaSource.<Tweet>builder()
                .setBootstrapServers(Job.BROKERS)
                .setTopics(Job.TOPIC)
                .setGroupId("weir-peers-flink")
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setDeserializer(new TweetReader())
                .setProperty("commit.offsets.on.checkpoint", "false")
                .build();
        WatermarkStrategy<Tweet> time = WatermarkStrategy
                .<Tweet>forBoundedOutOfOrderness(Duration.ofSeconds(Job.DELAY_S))
                .withTimestampAssigner((tweet, kafkaTime) -> tweet.eventTimeMs);
        KeyedStream<String, String> keys = flink.fromSource(source, time, "tweets")
                .<String>flatMap((tweet, out) -> tweet.keys.forEach(out::collect)).returns(Types.STRING)
                .keyBy(key -> key, Types.STRING);
        DataStream<Row> counts = switch (arguments[0]) {
            case "windows" -> keys
                    .window(SlidingEventTimeWindows.of(Duration.ofSeconds(Job.WINDOW_S), Duration.ofSeconds(Job.SLIDE_S)))
                    .aggregate(new Count(), new ToRow());
            case "panes" -> keys.process(new Panes());
            default -> throw new IllegalArgumentException(arguments[0]);
        };
        counts.sinkTo(new CsvSink());
        flink.execute("windowed counts");
        Job.done();
        System.exit(0);  // threads of the cluster may linger
    }

    /** One Tweet serves all messages: up to the shuffle all is one chain, and object reuse is on. */
    private static final class TweetReader implements KafkaRecordDeserializationSchema<Tweet> {
        private transient Tweet tweet;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> message, Collector<Tweet> out) throws IOException {
            Job.sawRecord();
            if (tweet == null) tweet = new Tweet();
            tweet.parse(message.value());
            out.collect(tweet);
        }

        @Override
        public TypeInformation<Tweet> getProducedType() {
            return TypeInformation.of(Tweet.class);
        }
    }

    private static final class Count implements AggregateFunction<String, Long, Long> {
        @Override
        public Long createAccumulator() {
            return 0L;
        }

        @Override
        public Long add(String key, Long count) {
            return count + 1;
        }

        @Override
        public Long getResult(Long count) {
            return count;
        }

        @Override
        public Long merge(Long one, Long other) {
            return one + other;
        }
    }

    private static final class ToRow implements WindowFunction<Long, Row, String, TimeWindow> {
        @Override
        public void apply(String key, TimeWindow window, Iterable<Long> counts, Collector<Row> out) {
            out.collect(new Row(key, window.getStart() / 1000, counts.iterator().next()));
        }
    }
}
