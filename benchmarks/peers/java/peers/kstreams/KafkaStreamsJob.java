package peers.kstreams;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyWindowStore;
import org.apache.kafka.streams.state.Stores;
import peers.common.Job;
import peers.common.Tweet;

/**
 * Kafka Streams: keys by way of a repartition topic, counted in windows of an in-memory store with cache and changelog.
 *
 * <p>After the shuffle a task sees the input's partitions without any order between them, so the grace must cover all their skew:
 * it is longer than the data, and nothing is late. So no window closes before the end; the rows come from the store by
 * interactive query when all is counted. (To emit on close would write every row once more, and never the last ones: stream
 * time stops with the input.)
 */
public final class KafkaStreamsJob {
    private static final String APPLICATION = "weir-peers-kstreams-" + ProcessHandle.current().pid() + "-" + System.currentTimeMillis();
    private static final Duration GRACE = Duration.ofDays(1);
    private static final byte[] NOTHING = {};
    private static final LongAdder keysSent = new LongAdder(), keysCounted = new LongAdder();
    private static volatile Throwable failure;

    public static void main(String[] arguments) throws Exception {
        int status = 0;
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", Job.BROKERS))) {
            Map<Integer, Long> ends = endOffsets(admin);
            long records = ends.values().stream().mapToLong(end -> end).sum();
            KafkaStreams streams = new KafkaStreams(topology(ends).build(), settings());
            streams.setUncaughtExceptionHandler(error -> {
                failure = error;
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            try {
                while (Job.recordsSeen() < records || keysCounted.sum() < keysSent.sum()) {
                    if (failure != null) throw failure;
                    Thread.sleep(20);
                }
                writeRows(streams);
                Job.done();
            } catch (Throwable error) {
                error.printStackTrace();
                status = 1;
            }
            streams.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
                    .withTimeout(Duration.ofSeconds(30)));  // commits what was counted
            streams.cleanUp();
            admin.deleteTopics(admin.listTopics().names().get().stream().filter(name -> name.startsWith(APPLICATION)).toList()).all().get();
        }
        System.exit(status);
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, APPLICATION);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, Job.BROKERS);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Job.SCRATCH.toString());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Job.CORES);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        // Commit interval and cache are the pair that the memory guide names for fewer writes to store and changelog. 10 s is also
        // Flink's checkpoint interval here; the default of exactly-once is 100 ms.
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 10_000);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), 120_000);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
        // Record times may be years ago: the broker must not delete live segments of the changelog as expired.
        settings.put(StreamsConfig.WINDOW_STORE_CHANGE_LOG_ADDITIONAL_RETENTION_MS_CONFIG, Duration.ofDays(365 * 50).toMillis());
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        return settings;
    }

    private static StreamsBuilder topology(Map<Integer, Long> ends) {
        Duration window = Duration.ofSeconds(Job.WINDOW_S), slide = Duration.ofSeconds(Job.SLIDE_S);
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(Job.TOPIC, Consumed.with(Serdes.ByteArray(), tweets())
                        .withTimestampExtractor((message, before) -> ((Tweet) message.value()).eventTimeMs))
                .process(() -> new ToKeys(ends))
                // Bytes, since the store serializes the key at each of its 2 W/S calls for a record.
                .repartition(Repartitioned.with(Serdes.Bytes(), Serdes.ByteArray()).withName("keys"))
                .processValues(Counted::new)
                .groupByKey(Grouped.with(Serdes.Bytes(), Serdes.ByteArray()))
                .windowedBy(TimeWindows.ofSizeAndGrace(window, GRACE).advanceBy(slide))
                .count(Materialized.<Bytes, Long>as(
                                Stores.inMemoryWindowStore("counts", GRACE.plus(window).plus(slide), window, false))
                        .withKeySerde(Serdes.Bytes()).withValueSerde(Serdes.Long()).withCachingEnabled());
        return builder;
    }

    private static Serde<Tweet> tweets() {
        return Serdes.serdeFrom((topic, tweet) -> {
            throw new IllegalStateException("tweets are only read");
        }, (topic, message) -> {
            Tweet tweet = new Tweet();
            try {
                tweet.parse(message);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            return tweet;
        });
    }

    /** A tweet's keys as records, in UTF-8 with their kind in front. */
    private static final class ToKeys extends ContextualProcessor<byte[], Tweet, Bytes, byte[]> {
        private final Map<Integer, Long> ends;

        private ToKeys(Map<Integer, Long> ends) {
            this.ends = ends;
        }

        @Override
        public void process(Record<byte[], Tweet> tweet) {
            for (String key : tweet.value().keys) {
                context().forward(tweet.withKey(Bytes.wrap(key.getBytes(StandardCharsets.UTF_8))).withValue(NOTHING));
            }
            keysSent.add(tweet.value().keys.size());
            Job.sawRecord();
            // At the end of a partition, so that a bounded run need not sit out the commit interval.
            RecordMetadata from = context().recordMetadata().orElseThrow();
            if (from.offset() + 1 >= ends.get(from.partition())) context().commit();
        }
    }

    /** Notes that a key was counted: what follows in the topology happens within forward(). */
    private static final class Counted extends ContextualFixedKeyProcessor<Bytes, byte[], byte[]> {
        @Override
        public void process(FixedKeyRecord<Bytes, byte[]> key) {
            context().forward(key);
            keysCounted.increment();
        }
    }

    private static void writeRows(KafkaStreams streams) throws IOException {
        ReadOnlyWindowStore<Bytes, Long> counts =
                streams.store(StoreQueryParameters.fromNameAndType("counts", QueryableStoreTypes.windowStore()));
        try (Writer out = Files.newBufferedWriter(Job.ROWS.resolve("rows.csv")); KeyValueIterator<Windowed<Bytes>, Long> all = counts.all()) {
            StringBuilder line = new StringBuilder();
            while (all.hasNext()) {
                KeyValue<Windowed<Bytes>, Long> row = all.next();
                line.setLength(0);
                String key = new String(row.key.key().get(), StandardCharsets.UTF_8);
                out.append(Job.appendRow(line, key, row.key.window().start() / 1000, row.value));
            }
        }
    }

    private static Map<Integer, Long> endOffsets(Admin admin) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        admin.describeTopics(List.of(Job.TOPIC)).allTopicNames().get().get(Job.TOPIC).partitions()
                .forEach(partition -> wanted.put(new TopicPartition(Job.TOPIC, partition.partition()), OffsetSpec.latest()));
        Map<Integer, Long> ends = new HashMap<>();
        admin.listOffsets(wanted).all().get().forEach((partition, found) -> ends.put(partition.partition(), found.offset()));
        return ends;
    }
}
