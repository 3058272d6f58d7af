package peers.dstreams;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.spark.SparkConf;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.function.Function;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.api.java.function.VoidFunction2;
import org.apache.spark.streaming.Durations;
import org.apache.spark.streaming.Time;
import org.apache.spark.streaming.api.java.JavaInputDStream;
import org.apache.spark.streaming.api.java.JavaPairDStream;
import org.apache.spark.streaming.api.java.JavaStreamingContext;
import org.apache.spark.streaming.kafka010.ConsumerStrategies;
import org.apache.spark.streaming.kafka010.KafkaUtils;
import org.apache.spark.streaming.kafka010.LocationStrategies;
import org.apache.spark.streaming.scheduler.BatchInfo;
import org.apache.spark.streaming.scheduler.StreamingListener;
import org.apache.spark.streaming.scheduler.StreamingListenerBatchCompleted;
import org.apache.spark.util.LongAccumulator;
import peers.common.Job;
import peers.common.Tweet;
import scala.Tuple2;

/**
 * Spark DStreams: a direct stream from Kafka, reduceByKeyAndWindow with its inverse.
 *
 * <p>DStreams have no event time: a window holds what was read while it lasted. So the topic is read at a rate that spreads it over
 * one window, and the rows of the window that holds all of it must be the counts of the whole corpus. As the stream's clock sets
 * how long that takes, the time that counts is the sum of the processing times of the batches that read something.
 */
public final class DStreamsJob {
    /** A processing time, and how many records had been read when it ended. */
    private record Batch(long processingMs, long recordsSoFar) {}

    // Static: the graph is checkpointed, so what its closures hold must be serializable.
    private static final List<Long> windowTotals = Collections.synchronizedList(new ArrayList<>());
    private static final List<Batch> batches = Collections.synchronizedList(new ArrayList<>());

    public static void main(String[] arguments) throws Exception {
        Map<TopicPartition, Long> ends = endOffsets();
        long records = ends.values().stream().mapToLong(end -> end).sum();
        long longest = Collections.max(ends.values());

        // The slide must be a multiple of the batch interval.
        long batchS = Job.SLIDE_S % 5 == 0 ? 5 : 1;
        long spreadS = batchS == 5 ? Job.WINDOW_S : Math.min(Job.WINDOW_S, 25);
        SparkConf settings = new SparkConf()
                .setMaster("local[" + Job.CORES + "]")
                .setAppName("weir-peers")
                .set("spark.ui.enabled", "false")
                .set("spark.driver.host", "127.0.0.1")
                .set("spark.driver.bindAddress", "127.0.0.1")
                .set("spark.local.dir", Job.SCRATCH.resolve("local").toString())
                .set("spark.locality.wait", "0")
                .set("spark.serializer", "org.apache.spark.serializer.KryoSerializer")
                .set("spark.default.parallelism", Integer.toString(Job.CORES))
                .set("spark.streaming.backpressure.enabled", "false")
                .set("spark.streaming.kafka.maxRatePerPartition", Long.toString((longest + spreadS - 1) / spreadS))
                .set("spark.hadoop.fs.file.impl", "peers.hadoop.PlainLocalFileSystem");
        JavaStreamingContext streams = new JavaStreamingContext(settings, Durations.seconds(batchS));
        streams.sparkContext().setLogLevel("WARN");
        streams.checkpoint(Job.SCRATCH.resolve("checkpoint").toString());  // the inverse function requires it
        LongAccumulator read = streams.sparkContext().sc().longAccumulator();

        JavaInputDStream<ConsumerRecord<byte[], byte[]>> messages = KafkaUtils.createDirectStream(streams,
                LocationStrategies.PreferConsistent(), ConsumerStrategies.Subscribe(List.of(Job.TOPIC), consumerSettings()));
        Function2<Long, Long, Long> add = Long::sum;
        Function2<Long, Long, Long> subtract = (count, gone) -> count - gone;
        Function<Tuple2<String, Long>, Boolean> present = counted -> counted._2() != 0;
        JavaPairDStream<String, Long> counts = messages
                .mapPartitionsToPair(partition -> keys(partition, read))
                .reduceByKeyAndWindow(add, subtract, Durations.seconds(Job.WINDOW_S), Durations.seconds(Job.SLIDE_S), Job.CORES, present);
        VoidFunction2<JavaPairRDD<String, Long>, Time> write = DStreamsJob::write;
        counts.foreachRDD(write);
        streams.addStreamingListener(listener(read));

        streams.start();
        while (batches.stream().noneMatch(batch -> batch.recordsSoFar() >= records)) Thread.sleep(50);
        streams.stop(false, false);
        keepFullestWindow();
        Job.done(processingSeconds(records), read.value());
        streams.sparkContext().stop();
        System.exit(0);
    }

    private static Map<String, Object> consumerSettings() {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", Job.BROKERS);
        settings.put("group.id", "weir-peers-dstreams-" + ProcessHandle.current().pid());
        settings.put("key.deserializer", ByteArrayDeserializer.class);
        settings.put("value.deserializer", ByteArrayDeserializer.class);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        settings.put("max.poll.records", 2000);
        settings.put("max.partition.fetch.bytes", 8 << 20);
        settings.put("receive.buffer.bytes", 1 << 20);
        settings.put("fetch.max.wait.ms", 5);
        return settings;
    }

    private static Map<TopicPartition, Long> endOffsets() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", Job.BROKERS))) {
            Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
            admin.describeTopics(List.of(Job.TOPIC)).allTopicNames().get().get(Job.TOPIC).partitions()
                    .forEach(partition -> wanted.put(new TopicPartition(Job.TOPIC, partition.partition()), OffsetSpec.latest()));
            Map<TopicPartition, Long> ends = new HashMap<>();
            admin.listOffsets(wanted).all().get().forEach((partition, found) -> ends.put(partition, found.offset()));
            return ends;
        }
    }

    /** The keys of a partition's records, lazily, each with a count of one. */
    private static Iterator<Tuple2<String, Long>> keys(Iterator<ConsumerRecord<byte[], byte[]>> messages, LongAccumulator read) {
        Tweet tweet = new Tweet();
        return new Iterator<>() {
            private Iterator<String> pending = Collections.emptyIterator();
            private long unreported;

            @Override
            public boolean hasNext() {
                while (!pending.hasNext() && messages.hasNext()) {
                    try {
                        tweet.parse(messages.next().value());
                    } catch (IOException failure) {
                        throw new UncheckedIOException(failure);
                    }
                    unreported++;
                    pending = tweet.keys.iterator();
                }
                if (!pending.hasNext()) {
                    read.add(unreported);
                    unreported = 0;
                }
                return pending.hasNext();
            }

            @Override
            public Tuple2<String, Long> next() {
                hasNext();
                return new Tuple2<>(pending.next(), 1L);
            }
        };
    }

    /** Writes one window, a file for each partition, and notes its total. The window is called 0: its time is the clock's. */
    private static void write(JavaPairRDD<String, Long> window, Time time) throws IOException {
        String folder = Files.createDirectories(Job.SCRATCH.resolve("window-" + windowTotals.size())).toString();
        List<Long> totals = window.mapPartitions(rows -> {
            long total = 0;
            try (Writer out = Files.newBufferedWriter(Path.of(folder, TaskContext.getPartitionId() + ".csv"))) {
                StringBuilder line = new StringBuilder();
                while (rows.hasNext()) {
                    Tuple2<String, Long> row = rows.next();
                    line.setLength(0);
                    out.append(Job.appendRow(line, row._1(), 0, row._2()));
                    total += row._2();
                }
            }
            return List.of(total).iterator();
        }).collect();
        windowTotals.add(totals.stream().mapToLong(total -> total).sum());
    }

    private static void keepFullestWindow() throws IOException {
        int fullest = windowTotals.indexOf(Collections.max(windowTotals));
        Files.move(Job.SCRATCH.resolve("window-" + fullest), Job.ROWS.resolve("window"));
    }

    private static double processingSeconds(long records) {
        long ms = 0, before = 0;
        for (Batch batch : List.copyOf(batches)) {
            if (batch.recordsSoFar() > before) ms += batch.processingMs();
            before = batch.recordsSoFar();
            if (before >= records) break;
        }
        return ms / 1e3;
    }

    private static StreamingListener listener(LongAccumulator read) {
        return new StreamingListener() {
            @Override
            public void onBatchCompleted(StreamingListenerBatchCompleted event) {
                BatchInfo batch = event.batchInfo();
                batches.add(new Batch((long) batch.processingDelay().get(), read.value()));
            }
        };
    }
}
