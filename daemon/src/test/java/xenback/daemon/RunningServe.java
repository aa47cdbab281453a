package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A {@code ./xenback serve} on the embedded Xen that has exported all its disks. Killed at the end if nobody stopped it. */
final class RunningServe implements AutoCloseable {
    private final Tool tool;
    private final Path runDir;

    private RunningServe(Tool tool, Path runDir) {
        this.tool = tool;
        this.runDir = runDir;
    }

    /** Serves with the run directory {@code directory/run}; relative paths start at {@code directory}. */
    static RunningServe start(Path directory, String... options) throws IOException, InterruptedException {
        Path runDir = directory.resolve("run");
        Tool tool = Tool.start(command(runDir, options), directory, Map.of());
        return await(tool, runDir, options);
    }

    /** As {@link #start}, with the usual run directory below {@code base}, which stands for $XDG_RUNTIME_DIR. */
    static RunningServe startBelow(Path base, Path directory, String... options)
            throws IOException, InterruptedException {
        List<String> command = command(Path.of(""), options);
        command.removeIf(word -> word.startsWith("--run-dir"));
        Tool tool = Tool.start(command, directory, Map.of("XDG_RUNTIME_DIR", base.toString()));
        return await(tool, base.resolve("xenback").resolve(Long.toString(tool.pid())), options);
    }

    /** A serve with one disk that was started in another way. */
    static RunningServe on(Tool tool, Path runDir) throws InterruptedException {
        return await(tool, runDir, "--disk");
    }

    /** The words of a {@code ./xenback serve} with that run directory. */
    static List<String> command(Path runDir, String... options) {
        List<String> command = new ArrayList<>(List.of(
                Checkout.root().resolve("xenback").toString(), "serve", "--xen=embedded", "--run-dir=" + runDir));
        command.addAll(List.of(options));
        return command;
    }

    Tool tool() {
        return tool;
    }

    Path runDir() {
        return runDir;
    }

    Path nbdSocket() {
        return runDir.resolve("nbd.sock");
    }

    /** The URI of the disk {@code xbd<index>}, in the order of the options. */
    String uri(int index) {
        return "nbd+unix:///xbd" + index + "?socket=" + nbdSocket();
    }

    NbdClient connect(int index) throws IOException {
        return NbdClient.connect(nbdSocket(), "xbd" + index);
    }

    /** Starts one of Xen's store tools with the rights of a domain, its output unbuffered. */
    Tool storeTool(int domid, String... command) throws IOException {
        List<String> words = new ArrayList<>(List.of("stdbuf", "-oL"));
        words.addAll(List.of(command));
        Path socket = runDir.resolve(domid == 0 ? "socket" : "socket." + domid);
        return Tool.start(words, runDir, Map.of("XENSTORED_PATH", socket.toString()));
    }

    /** Runs one of Xen's store tools to its end. */
    Tool.Result store(int domid, String... command) throws IOException, InterruptedException {
        try (Tool tool = storeTool(domid, command)) {
            return tool.awaitEnd();
        }
    }

    /** Asks for the end, which must be a success. */
    Tool.Result stop() throws IOException, InterruptedException {
        tool.signal("TERM");
        Tool.Result result = tool.awaitEnd();
        assertThat(result.status()).as(result.err()).isZero();
        return result;
    }

    void kill() throws IOException, InterruptedException {
        tool.signal("KILL");
        tool.awaitEnd();
    }

    @Override
    public void close() {
        tool.close();
    }

    private static RunningServe await(Tool tool, Path runDir, String... options) throws InterruptedException {
        try {
            long disks = List.of(options).stream()
                    .filter(option -> option.startsWith("--disk"))
                    .count();
            tool.awaitOut(line -> line.contains("/xbd" + (disks - 1) + "?socket="));
            return new RunningServe(tool, runDir);
        } catch (InterruptedException | AssertionError e) {
            tool.close();
            throw e;
        }
    }
}
