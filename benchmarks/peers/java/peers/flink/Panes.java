package peers.flink;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import peers.common.Job;

/**
 * Sliding counts over panes one slide long: a record adds 1 to one pane; when a pane closes, one timer for each key sums those of
 * the window that ends with it. This is what Flink's writing on custom window processing advises over long windows with a short
 * slide. A window is a whole number of panes here.
 *
 * <p>State of a key: [0] the pane whose closing the timer waits for, [1] the number of the first pane held, then their counts.
 */
final class Panes extends KeyedProcessFunction<String, String, Row> {
    private static final int TIMER = 0, FIRST = 1, COUNTS = 2;
    private static final int SPARE = 8;

    private final long slideMs = 1000 * Job.SLIDE_S;
    private final int panesInWindow = (int) (Job.WINDOW_S / Job.SLIDE_S);
    private transient ValueState<long[]> state;

    @Override
    public void open(OpenContext context) {
        state = getRuntimeContext().getState(
                new ValueStateDescriptor<>("panes", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
    }

    @Override
    public void processElement(String key, Context context, Collector<Row> out) throws Exception {
        long pane = Math.floorDiv(context.timestamp(), slideMs);
        if (closingTime(pane) <= context.timerService().currentWatermark()) {
            throw new IllegalStateException("a late record: --delay is less than the disorder of the corpus");
        }
        long[] panes = state.value();
        if (panes == null) {
            panes = new long[COUNTS + panesInWindow + SPARE];
            panes[FIRST] = pane;
            panes[TIMER] = Long.MAX_VALUE;
        }
        if (pane < panes[TIMER]) {  // a later timer that is still set finds nothing to do
            panes[TIMER] = pane;
            context.timerService().registerEventTimeTimer(closingTime(pane));
        }
        panes = holding(panes, pane);
        panes[(int) (COUNTS + pane - panes[FIRST])]++;
        state.update(panes);
    }

    @Override
    public void onTimer(long time, OnTimerContext context, Collector<Row> out) throws Exception {
        long[] panes = state.value();
        long pane = Math.floorDiv(time, slideMs);
        if (panes == null || panes[TIMER] != pane) return;
        long count = 0;
        for (long p = pane - panesInWindow + 1; p <= pane; p++) count += countOf(panes, p);
        if (count > 0) out.collect(new Row(context.getCurrentKey(), (pane + 1) * Job.SLIDE_S - Job.WINDOW_S, count));

        long held = firstNotEmpty(panes, pane - panesInWindow + 2);
        if (held == Long.MAX_VALUE) {
            state.clear();
            return;
        }
        panes[TIMER] = Math.max(pane + 1, held);
        context.timerService().registerEventTimeTimer(closingTime(panes[TIMER]));
        state.update(panes);
    }

    /** The last millisecond of a pane, at which Flink's timers and watermarks close it. */
    private long closingTime(long pane) {
        return (pane + 1) * slideMs - 1;
    }

    private static long countOf(long[] panes, long pane) {
        long at = COUNTS + pane - panes[FIRST];
        return at >= COUNTS && at < panes.length ? panes[(int) at] : 0;
    }

    private static long firstNotEmpty(long[] panes, long from) {
        for (long pane = Math.max(from, panes[FIRST]); pane - panes[FIRST] < panes.length - COUNTS; pane++) {
            if (countOf(panes, pane) > 0) return pane;
        }
        return Long.MAX_VALUE;
    }

    /** The same panes with room for `pane`; those that no window to come covers are let go. */
    private long[] holding(long[] panes, long pane) {
        if (pane >= panes[FIRST] && pane - panes[FIRST] < panes.length - COUNTS) return panes;
        long first = Math.min(pane, Math.max(panes[FIRST], panes[TIMER] - panesInWindow + 1));
        long last = Math.max(pane, panes[FIRST] + panes.length - COUNTS - 1);
        int needed = (int) Math.max(pane - first + 1 + SPARE, last - first + 1);
        long[] moved = new long[COUNTS + needed];
        moved[TIMER] = panes[TIMER];
        moved[FIRST] = first;
        for (long p = first; p <= last; p++) moved[(int) (COUNTS + p - first)] = countOf(panes, p);
        return moved;
    }
}
