package xenback.daemon;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The program's two output streams. Any thread may print and none ever waits: one thread writes, from a bounded queue, and
 * a reader that does not read costs lines (counted and told), not a guest's time. Every line is made {@link Printable}.
 */
final class Screen implements AutoCloseable {
    private static final int QUEUED_LINES = 1024;
    private static final long LAST_WORDS_MILLIS = 2000;

    /** Erases the line, and turns wrapping off while a line of unknown width is drawn (DECAWM). */
    private static final String ERASE = "\r\033[K";

    private static final String NO_WRAP = "\033[?7l";
    private static final String WRAP = "\033[?7h";

    private enum Kind {
        OUT,
        ERR,
        STATUS,
        END
    }

    private record Line(Kind kind, String text) {}

    private final BlockingQueue<Line> queue = new ArrayBlockingQueue<>(QUEUED_LINES);
    private final AtomicLong lost = new AtomicLong();
    private final PrintStream out;
    private final PrintStream err;
    private final boolean terminal;
    private final Thread writer;
    private String status = ""; // owned by the writer

    /**
     * Prints to two streams.
     *
     * @param terminal true if {@code err} can show a line that changes
     */
    Screen(PrintStream out, PrintStream err, boolean terminal) {
        this.out = out;
        this.err = err;
        this.terminal = terminal;
        this.writer = Thread.ofPlatform().name("xenback-screen").daemon().start(this::write);
    }

    /** The process's own streams, in UTF-8 whatever the locale says: JSON is UTF-8 by its standard. */
    static Screen ofProcess() {
        return new Screen(stream(FileDescriptor.out), stream(FileDescriptor.err), isTerminal(2));
    }

    /** A line for standard output: what was asked for. */
    void out(String line) {
        offer(new Line(Kind.OUT, line));
    }

    /** A line for standard error: what a person should know. */
    void err(String line) {
        offer(new Line(Kind.ERR, line));
    }

    /** The line at the bottom of a terminal, in place of the one before; nothing elsewhere. */
    void status(String line) {
        if (terminal) {
            offer(new Line(Kind.STATUS, line));
        }
    }

    /** Writes what is queued, for at most two seconds, and ends. Lines that come later are lost. */
    @Override
    public void close() {
        try {
            while (!queue.offer(new Line(Kind.END, "")) && writer.isAlive()) {
                queue.poll();
            }
            writer.join(LAST_WORDS_MILLIS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    static PrintStream stream(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), false, StandardCharsets.UTF_8);
    }

    private void offer(Line line) {
        if (!queue.offer(line) && line.kind != Kind.STATUS) {
            lost.incrementAndGet();
        }
    }

    private void write() {
        try {
            for (Line line = queue.take(); line.kind != Kind.END; line = queue.take()) {
                tellLost();
                print(line);
            }
            tellLost();
            draw("");
        } catch (InterruptedException neverSent) {
            Thread.currentThread().interrupt();
        }
    }

    private void print(Line line) {
        String text = Printable.text(line.text);
        switch (line.kind) {
            case OUT -> above(out, text);
            case ERR -> above(err, text);
            default -> draw(text);
        }
    }

    private void tellLost() {
        long count = lost.getAndSet(0);
        if (count > 0) {
            above(err, "xenback: " + count + " lines were lost here, nobody read them");
        }
    }

    private void above(PrintStream stream, String text) {
        String below = status;
        draw("");
        stream.print(text + "\n");
        stream.flush();
        draw(below);
    }

    private void draw(String text) {
        if (terminal && !(text.isEmpty() && status.isEmpty())) {
            err.print(ERASE + (text.isEmpty() ? "" : NO_WRAP + text + WRAP));
            err.flush();
        }
        status = text;
    }

    /** Asks the kernel's name for the descriptor; the JDK tells only whether input and output both are terminals. */
    private static boolean isTerminal(int descriptor) {
        if ("dumb".equals(System.getenv("TERM"))) {
            return false;
        }
        try {
            String name = Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor))
                    .toString();
            return name.startsWith("/dev/pts/") || name.startsWith("/dev/tty") || name.equals("/dev/console");
        } catch (IOException | UnsupportedOperationException unknown) {
            return false;
        }
    }
}
