package xenback.daemon;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code xenback sysctl}: values of a running serve under the names that xnb(4) has for them. */
@Command(
        name = "sysctl",
        description = "Show values of a running serve, by names as in xnb(4).",
        footer = {
            "%n  dev.xnb.0.dump_rings         the counters of the interface's rings",
            "%n  dev.xnb.0.dump_control       what its guest has asked for by the control ring",
            "  dev.xnb.0.unit_test_results  runs the built-in tests, a result per line",
            "  dev.xnb.0                    all of the first interface in: xenback list",
            "  dev.xbdback.0                the same of the first disk"
        })
final class SysctlCommand implements Callable<Integer> {
    private final Screen screen;

    @Parameters(arity = "0..*", paramLabel = "NAME", description = "A name, or the beginning of several up to a point.")
    private List<String> names = List.of();

    @Option(names = "-a", description = "Everything there is.")
    private boolean all;

    @Option(names = "-n", description = "Values without names.")
    private boolean valuesOnly;

    @Option(names = "-N", description = "Names without values.")
    private boolean namesOnly;

    @Option(names = "--json", description = "One JSON object per value.")
    private boolean json;

    @Option(names = "--run-dir", paramLabel = "DIR", description = "Run directory of the serve, if there are several.")
    private @Nullable Path runDir;

    SysctlCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws UserError, IOException {
        if (names.isEmpty() && !all) {
            throw UserError.usage("no name; write it as: xenback sysctl dev.xnb.0.dump_rings, or -a for everything");
        }
        List<String> request = new ArrayList<>(List.of("sysctl"));
        add(request, all, "-a");
        add(request, valuesOnly, "-n");
        add(request, namesOnly, "-N");
        add(request, json, "--json");
        for (String name : names) {
            if (!name.matches("[-._a-zA-Z0-9]{1,256}") || name.startsWith("-")) {
                throw UserError.usage("'" + name + "' is no name; they look like dev.xnb.0.dump_rings");
            }
            request.add(name);
        }
        ListCommand.print(runDir, request, screen);
        return ExitCode.OK.status();
    }

    private static void add(List<String> request, boolean given, String option) {
        if (given) {
            request.add(option);
        }
    }
}
