package xenback.fuzz;

import java.util.concurrent.atomic.AtomicReference;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;

/** Listens to what the program logs, and keeps the first stack trace: no peer may cause one. */
public final class FaultLog implements AutoCloseable {
    private final Logger logger = Logger.getLogger("xenback");
    private final AtomicReference<@Nullable LogRecord> first = new AtomicReference<>();
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord record) {
            if (record.getThrown() != null) {
                first.compareAndSet(null, record);
            }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    public FaultLog() {
        logger.setUseParentHandlers(false);
        logger.addHandler(handler);
    }

    /** Throws what was logged since the last call, if it was a fault. */
    public void check() {
        LogRecord fault = first.getAndSet(null);
        if (fault != null) {
            throw new AssertionError("logged: " + fault.getMessage(), fault.getThrown());
        }
    }

    @Override
    public void close() {
        logger.removeHandler(handler);
        logger.setUseParentHandlers(true);
    }
}
