package xenback.daemon;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code xenback list}: the disks and interfaces of a running serve. */
@Command(name = "list", description = "List the disks and network interfaces of a running serve.")
final class ListCommand implements Callable<Integer> {
    private final Screen screen;

    @Option(names = "--json", description = "One JSON object per line.")
    private boolean json;

    @Option(names = "--run-dir", paramLabel = "DIR", description = "Run directory of the serve, if there are several.")
    private @Nullable Path runDir;

    ListCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws UserError, IOException {
        print(runDir, json ? List.of("list", "--json") : List.of("list"), screen);
        return ExitCode.OK.status();
    }

    /** Prints the lines of an answer. */
    static void print(@Nullable Path runDir, List<String> request, Screen screen) throws UserError, IOException {
        try (ControlClient client = ControlClient.ask(runDir, request)) {
            new String(client.answer().readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .forEach(screen::out);
        }
    }
}
