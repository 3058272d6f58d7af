package peers.spark;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.expr;
import static org.apache.spark.sql.functions.from_json;
import static org.apache.spark.sql.functions.posexplode;
import static org.apache.spark.sql.functions.window;

import java.util.Arrays;
import org.apache.spark.api.java.function.VoidFunction2;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.StreamingQuery;
import org.apache.spark.sql.streaming.Trigger;
import org.apache.spark.sql.types.StructType;
import peers.common.Job;

/**
 * Spark Structured Streaming, both counts in one query, so that each record is parsed once.
 *
 * <p>Update mode with Trigger.AvailableNow and no limit on a batch: all that is in the topic is one micro-batch, and what it emits
 * is final. Of the correct forms it is the fastest; append mode behind a watermark takes many batches and more CPU. It is the best
 * case, more a batch than a stream: the state of all windows is held at once.
 */
public final class StructuredStreamingJob {
    private static final StructType TWEET = StructType.fromDDL(
            "created_at STRING, user STRUCT<location: STRING>, entities STRUCT<user_mentions: ARRAY<STRUCT<screen_name: STRING>>>");

    // As ISO text for Spark's hand-written parser: to_timestamp with a pattern is no faster.
    private static final String EVENT_TIME = "cast(concat(substring(j.created_at, 27, 4), '-', "
            + "cast((instr('JanFebMarAprMayJunJulAugSepOctNovDec', substring(j.created_at, 5, 3)) + 2) div 3 as string), '-', "
            + "substring(j.created_at, 9, 2), ' ', substring(j.created_at, 12, 8)) as timestamp)";

    // The location, trimmed before the explode and so once a record, then the mentions.
    private static final String KEYS = "concat(array(trim(BOTH ' \t\n\u000b\f\r' FROM j.user.location)), "
            + "coalesce(j.entities.user_mentions.screen_name, array()))";

    public static void main(String[] arguments) throws Exception {
        SparkSession spark = SparkSession.builder()
                .master("local[" + Job.CORES + "]")
                .appName("weir-peers")
                .config("spark.ui.enabled", "false")
                .config("spark.driver.host", "127.0.0.1")
                .config("spark.driver.bindAddress", "127.0.0.1")
                .config("spark.local.dir", Job.SCRATCH.resolve("local").toString())
                .config("spark.locality.wait", "0")
                .config("spark.serializer", "org.apache.spark.serializer.KryoSerializer")
                .config("spark.sql.session.timeZone", "UTC")
                // Advice for stateful queries: one to two partitions a core. 4 instead of 2 made no difference.
                .config("spark.sql.shuffle.partitions", Integer.toString(Job.CORES))
                .config("spark.sql.streaming.noDataMicroBatches.enabled", "false")
                .config("spark.sql.streaming.minBatchesToRetain", "2")
                // It adds a filter that, pushed down, parses the JSON of every record twice more.
                .config("spark.sql.optimizer.excludedRules", "org.apache.spark.sql.catalyst.optimizer.InferFiltersFromGenerate")
                .config("spark.hadoop.fs.file.impl", "peers.hadoop.PlainLocalFileSystem")
                .config("spark.sql.streaming.checkpointFileManagerClass",
                        "org.apache.spark.sql.execution.streaming.FileSystemBasedCheckpointFileManager")
                .config("spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version", "2")
                .getOrCreate();

        Dataset<Row> messages = spark.readStream().format("kafka")
                .option("kafka.bootstrap.servers", Job.BROKERS)
                .option("subscribe", Job.TOPIC)
                .option("startingOffsets", "earliest")
                .option("kafka.max.poll.records", "2000")
                .option("kafka.max.partition.fetch.bytes", "8388608")
                .option("kafka.receive.buffer.bytes", "1048576")
                // Spark asks for the range of offsets after each poll; a fetch that waits at the log's end must not hold that up.
                .option("kafka.fetch.max.wait.ms", "5")
                .load();
        VoidFunction2<Dataset<Row>, Long> write = (batch, id) -> batch.write().mode("append").text(Job.ROWS.resolve("csv").toString());
        long began = System.nanoTime();
        StreamingQuery query = counts(messages).writeStream()
                .outputMode("update")
                .trigger(Trigger.AvailableNow())
                .option("checkpointLocation", Job.SCRATCH.resolve("checkpoint").toString())
                .foreachBatch(write)
                .start();
        query.awaitTermination();
        double seconds = (System.nanoTime() - began) / 1e9;
        Job.done(seconds, Arrays.stream(query.recentProgress()).mapToLong(progress -> progress.numInputRows()).sum());
        spark.stop();
    }

    private static Dataset<Row> counts(Dataset<Row> messages) {
        Column windows = Job.SLIDE_S == Job.WINDOW_S
                ? window(col("ts"), Job.WINDOW_S + " seconds")
                : window(col("ts"), Job.WINDOW_S + " seconds", Job.SLIDE_S + " seconds");
        return messages
                .select(from_json(col("value").cast("string"), TWEET).as("j"))
                .select(expr(EVENT_TIME).as("ts"), expr(KEYS).as("keys"))
                .withWatermark("ts", Job.DELAY_S + " seconds")
                .select(col("ts"), posexplode(col("keys")).as(new String[] {"at", "key"}))
                .where("key is not null and key <> ''")
                .select(col("ts"), expr("at = 0").as("location"), expr("if(at = 0, key, lower(key))").as("key"))
                .groupBy(windows.as("w"), col("location"), col("key")).count()
                .select(expr("concat(if(location, 'location,', 'mention,'), cast(unix_seconds(w.start) as string), ',', "
                        + "cast(count as string), ',', key)").as("value"));
    }
}
