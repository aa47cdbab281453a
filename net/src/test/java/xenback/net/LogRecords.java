package xenback.net;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** What this program logs while a test runs, kept from the test's output. */
final class LogRecords implements AutoCloseable {
    private final Logger logger = Logger.getLogger("xenback");
    private final boolean usedParents = logger.getUseParentHandlers();
    private final List<LogRecord> records = new CopyOnWriteArrayList<>();
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord record) {
            records.add(record);
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    LogRecords() {
        logger.setUseParentHandlers(false);
        logger.addHandler(handler);
    }

    /** Lines that somebody would read: warnings and worse. */
    List<String> lines() {
        return records.stream()
                .filter(record -> record.getLevel().intValue() >= Level.WARNING.intValue())
                .map(LogRecords::line)
                .toList();
    }

    /** Lines with a stack trace: no guest may cause one. */
    List<String> faults() {
        return records.stream()
                .filter(record -> record.getThrown() != null)
                .map(record -> line(record) + ": " + record.getThrown())
                .toList();
    }

    private static String line(LogRecord record) {
        Object[] parameters = record.getParameters();
        return parameters == null
                ? record.getMessage()
                : new java.text.MessageFormat(record.getMessage(), java.util.Locale.ROOT).format(parameters);
    }

    @Override
    public void close() {
        logger.removeHandler(handler);
        logger.setUseParentHandlers(usedParents);
    }
}
