package peers.flink;

import java.time.Duration;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import peers.common.Job;

/** The settings that all Flink jobs share. */
final class Flink {
    private Flink() {}

    /** A cluster in this process, one slot a core. */
    static StreamExecutionEnvironment environment(Configuration settings) {
        // Tuning: no copies between chained operators.
        settings.set(PipelineOptions.OBJECT_REUSE, true);
        // State backends: the fastest while state fits the heap.
        settings.set(StateBackendOptions.STATE_BACKEND, "hashmap");
        settings.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofSeconds(10));
        settings.set(CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE, CheckpointingMode.EXACTLY_ONCE);
        settings.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        settings.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, Job.SCRATCH.toUri().toString());
        // A bounded job would sit out the interval for one more checkpoint that has nothing to commit.
        settings.set(CheckpointingOptions.ENABLE_CHECKPOINTS_AFTER_TASKS_FINISH, false);
        return StreamExecutionEnvironment.createLocalEnvironment(Job.CORES, settings);
    }
}
