package xenback.daemon;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/**
 * A program that a test runs. Both streams are read all the time, so it never waits for the test; it and its children are
 * killed when the test is done with it. Waiting has a limit, after which the test fails with all that was printed.
 */
final class Tool implements AutoCloseable {
    /** For a machine under load; a passing test never waits for it. */
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    /** What a program that ended had to say. */
    record Result(int status, String out, String err) {}

    private final List<String> command;
    private final Process process;
    private final Stream out;
    private final Stream err;

    private Tool(List<String> command, Process process) {
        this.command = command;
        this.process = process;
        this.out = new Stream(process.inputReader(StandardCharsets.UTF_8));
        this.err = new Stream(process.errorReader(StandardCharsets.UTF_8));
    }

    /** Starts a program in the directory of the test run, with nothing on its standard input. */
    static Tool start(String... command) throws IOException {
        return start(List.of(command), Path.of("."), Map.of());
    }

    /** Starts a program elsewhere, with more in its environment. */
    static Tool start(List<String> command, Path directory, Map<String, String> environment) throws IOException {
        var builder = new ProcessBuilder(command)
                .directory(directory.toFile())
                .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()));
        builder.environment().putAll(environment);
        return new Tool(command, builder.start());
    }

    /** Runs a program to its end. */
    static Result run(String... command) throws IOException, InterruptedException {
        try (Tool tool = start(command)) {
            return tool.awaitEnd();
        }
    }

    /** Runs a program that must succeed, and gives its standard output. */
    static String need(String... command) throws IOException, InterruptedException {
        try (Tool tool = start(command)) {
            Result result = tool.awaitEnd();
            if (result.status() != 0) {
                throw tool.failure("ended with status " + result.status());
            }
            return result.out();
        }
    }

    /** Waits for what no program tells; looks again and again. */
    static void awaitTrue(String what, Callable<Boolean> met) throws Exception {
        long deadlineNanos = System.nanoTime() + PATIENCE.toNanos();
        while (!met.call()) {
            if (System.nanoTime() > deadlineNanos) {
                throw new AssertionError("not within " + PATIENCE + ": " + what);
            }
            Thread.sleep(10);
        }
    }

    /** Waits for the end of the program and of its output. */
    Result awaitEnd() throws InterruptedException {
        return awaitEnd(PATIENCE);
    }

    /** As {@link #awaitEnd()}, for programs that take longer. */
    Result awaitEnd(Duration patience) throws InterruptedException {
        if (!process.waitFor(patience.toMillis(), TimeUnit.MILLISECONDS)) {
            throw failure("did not end within " + patience);
        }
        return new Result(process.exitValue(), out.all(), err.all());
    }

    /** Waits for a line on standard output, and gives it. */
    String awaitOut(Predicate<String> wanted) throws InterruptedException {
        return await(out, wanted);
    }

    /** Waits for a line on standard error, and gives it. */
    String awaitErr(Predicate<String> wanted) throws InterruptedException {
        return await(err, wanted);
    }

    /** Sends a signal by its name, such as TERM. */
    void signal(String name) throws IOException, InterruptedException {
        run("kill", "-" + name, Long.toString(process.pid()));
    }

    long pid() {
        return process.pid();
    }

    @Override
    public void close() {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }

    private String await(Stream stream, Predicate<String> wanted) throws InterruptedException {
        String line = stream.await(wanted);
        if (line == null) {
            throw failure("did not print the line that was waited for");
        }
        return line;
    }

    private AssertionError failure(String what) {
        return new AssertionError(String.join(" ", command) + " " + what + "\n--- standard output\n" + out.lines()
                + "\n--- standard error\n" + err.lines());
    }

    /** The lines of one stream so far. */
    private static final class Stream {
        private final List<String> lines = new ArrayList<>(); // guarded by this
        private final Thread reader;
        private boolean ended; // guarded by this

        Stream(BufferedReader source) {
            reader = Thread.ofVirtual().start(() -> read(source));
        }

        String all() throws InterruptedException {
            // A grandchild that kept the stream open must not hold up the test.
            reader.join(PATIENCE);
            return lines();
        }

        synchronized String lines() {
            return String.join("\n", lines) + (lines.isEmpty() ? "" : "\n");
        }

        synchronized String await(Predicate<String> wanted) throws InterruptedException {
            long deadlineNanos = System.nanoTime() + PATIENCE.toNanos();
            int seen = 0;
            while (true) {
                for (; seen < lines.size(); seen++) {
                    if (wanted.test(lines.get(seen))) {
                        return lines.get(seen);
                    }
                }
                long leftMillis = (deadlineNanos - System.nanoTime()) / 1_000_000;
                if (ended || leftMillis <= 0) {
                    return null;
                }
                wait(leftMillis);
            }
        }

        private void read(BufferedReader source) {
            try {
                for (String line = source.readLine(); line != null; line = source.readLine()) {
                    add(line);
                }
            } catch (IOException closed) {
                // the process was killed by the test
            } finally {
                end();
            }
        }

        private synchronized void add(String line) {
            lines.add(line);
            notifyAll();
        }

        private synchronized void end() {
            ended = true;
            notifyAll();
        }
    }
}
