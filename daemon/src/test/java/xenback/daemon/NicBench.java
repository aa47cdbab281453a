package xenback.daemon;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Two network namespaces of this test's own, one for a {@code ./xenback serve} and its ends of interfaces, one for the guests'
 * ends, so that frames between them can only go through the split driver. Root.
 */
final class NicBench implements AutoCloseable {
    private static final AtomicInteger NEXT = new AtomicInteger();

    private final Path directory;
    private final String host;
    private final String guest;
    private final List<Tool> tools = new ArrayList<>();

    NicBench(Path directory) throws IOException, InterruptedException {
        Root.need("a network namespace");
        this.directory = directory;
        String id = ProcessHandle.current().pid() + "x" + NEXT.getAndIncrement();
        host = "xnbh" + id;
        guest = "xnbg" + id;
        for (String namespace : List.of(host, guest)) {
            Tool.need("ip", "netns", "add", namespace);
            Tool.need("ip", "-n", namespace, "link", "set", "lo", "up");
        }
    }

    String guestNamespace() {
        return guest;
    }

    String hostNamespace() {
        return host;
    }

    Path runDir() {
        return directory.resolve("run");
    }

    /** Starts a serve in the host's namespace, and waits for so many interfaces. */
    Tool serve(int interfaces, String... options) throws IOException, InterruptedException {
        return serveWith(Map.of(), interfaces, options);
    }

    /** The same with more in its environment. */
    Tool serveWith(Map<String, String> environment, int interfaces, String... options)
            throws IOException, InterruptedException {
        Tool serve = startWith(environment, options);
        serve.awaitOut(line -> line.startsWith("xn" + (interfaces - 1) + " ("));
        return serve;
    }

    /** Starts one and does not wait. */
    Tool start(String... options) throws IOException {
        return startWith(Map.of(), options);
    }

    private Tool startWith(Map<String, String> environment, String... options) throws IOException {
        List<String> command = in(host, RunningServe.command(runDir(), options).toArray(String[]::new));
        return kept(Tool.start(command, directory, environment));
    }

    /** Starts another sub-command, which asks that serve. */
    Tool ask(String... words) throws IOException {
        List<String> all = new ArrayList<>(List.of(words));
        all.add("--run-dir=" + runDir());
        return kept(Checkout.xenback(directory, all.toArray(String[]::new)));
    }

    /** The standard output of one that must succeed. */
    String answer(String... words) throws IOException, InterruptedException {
        Tool.Result result = ask(words).awaitEnd();
        if (result.status() != 0) {
            throw new AssertionError(String.join(" ", words) + ": " + result);
        }
        return result.out();
    }

    /** Runs a program that must succeed at the host's end. */
    String host(String... command) throws IOException, InterruptedException {
        return Tool.need(in(host, command).toArray(String[]::new));
    }

    String guest(String... command) throws IOException, InterruptedException {
        return Tool.need(in(guest, command).toArray(String[]::new));
    }

    /** Starts a program at the host's end, which is killed with the bench. */
    Tool startHost(String... command) throws IOException {
        return kept(Tool.start(in(host, command), directory, Map.of()));
    }

    Tool startGuest(String... command) throws IOException {
        return kept(Tool.start(in(guest, command), directory, Map.of()));
    }

    /** Asks a serve for its end, which must be a success. */
    static Tool.Result stop(Tool serve) throws IOException, InterruptedException {
        serve.signal("TERM");
        Tool.Result result = serve.awaitEnd();
        if (result.status() != 0) {
            throw new AssertionError(result);
        }
        return result;
    }

    private Tool kept(Tool tool) {
        tools.add(tool);
        return tool;
    }

    private static List<String> in(String namespace, String... command) {
        List<String> words = new ArrayList<>(List.of("ip", "netns", "exec", namespace));
        words.addAll(List.of(command));
        return words;
    }

    @Override
    public void close() throws IOException {
        tools.forEach(Tool::close);
        for (String namespace : List.of(host, guest)) {
            new ProcessBuilder("ip", "netns", "delete", namespace)
                    .start()
                    .onExit()
                    .join();
        }
    }
}
