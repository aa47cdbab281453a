package xenback.daemon;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.logging.Formatter;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** Where the log of all rooms goes: one line per record, to the announcer. The rooms use {@link System.Logger}. */
final class Log extends Handler {
    private final Announcer announcer;
    private final boolean traces;
    private final Formatter formatter = new SimpleFormatter();

    private Log(Announcer announcer, boolean traces) {
        this.announcer = announcer;
        this.traces = traces;
    }

    /** @param verbosity how often -v was given: 0 shows warnings, 1 what happens and stack traces, 2 every step */
    static void route(Announcer announcer, int verbosity) {
        Logger root = Logger.getLogger("");
        for (Handler handler : root.getHandlers()) {
            root.removeHandler(handler);
        }
        root.addHandler(new Log(announcer, verbosity > 0));
        root.setLevel(verbosity == 0 ? Level.WARNING : Level.INFO);
        Logger.getLogger("xenback").setLevel(verbosity > 1 ? Level.FINE : root.getLevel());
    }

    @Override
    public void publish(LogRecord record) {
        StringBuilder line = new StringBuilder();
        if (record.getLevel().intValue() >= Level.SEVERE.intValue()) {
            line.append("error: ");
        } else if (record.getLevel().intValue() >= Level.WARNING.intValue()) {
            line.append("warning: ");
        }
        line.append(formatter.formatMessage(record));
        Throwable thrown = record.getThrown();
        if (thrown != null) {
            line.append(": ").append(thrown);
        }
        announcer.log(line.toString());
        if (thrown != null && traces) {
            trace(thrown).lines().forEach(each -> announcer.log(each.replace("\t", "    ")));
        }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}

    private static String trace(Throwable thrown) {
        StringWriter text = new StringWriter();
        thrown.printStackTrace(new PrintWriter(text));
        return text.toString();
    }
}
