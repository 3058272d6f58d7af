package peers.flink;

/** One count of one window; `key` has its kind in front. */
public record Row(String key, long startSeconds, long count) {}
