package peers.flink;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import peers.common.Job;

/**
 * One CSV file for each subtask, buffered, flushed at each checkpoint. Not transactional, and without the two system calls that
 * Flink's own file sink makes for each line: in the peer's favour.
 */
final class CsvSink implements Sink<Row> {
    private static final int BUFFER_CHARS = 1 << 16;

    @Override
    public SinkWriter<Row> createWriter(WriterInitContext context) throws IOException {
        OutputStream file = Files.newOutputStream(Job.ROWS.resolve("rows-" + context.getTaskInfo().getIndexOfThisSubtask() + ".csv"));
        return new SinkWriter<>() {
            private final StringBuilder buffer = new StringBuilder(BUFFER_CHARS + 1024);

            @Override
            public void write(Row row, Context when) throws IOException {
                Job.appendRow(buffer, row.key(), row.startSeconds(), row.count());
                if (buffer.length() >= BUFFER_CHARS) flush(false);
            }

            @Override
            public void flush(boolean endOfInput) throws IOException {
                file.write(buffer.toString().getBytes(StandardCharsets.UTF_8));
                buffer.setLength(0);
            }

            @Override
            public void close() throws IOException {
                file.close();
            }
        };
    }
}
