package xenback.daemon;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;

/**
 * What tests of the whole program share: where the checkout is, and how its launcher is started. Such tests run after the
 * jars were packaged (the tag puts them into Maven's integration-test phase).
 */
@Tag("launcher")
abstract class Checkout {
    private static final Path ROOT =
            Path.of(System.getProperty("xenback.root", "..")).toAbsolutePath().normalize();

    static Path root() {
        return ROOT;
    }

    /** Starts {@code ./xenback} in a directory. */
    static Tool xenback(Path directory, String... arguments) throws IOException {
        return Tool.start(launcher(arguments), directory, Map.of());
    }

    /**
     * As {@link #xenback}, as a user whom file modes bind. Root keeps its number, so that all of the checkout stays
     * readable, but loses CAP_DAC_OVERRIDE with all other capabilities.
     */
    static Tool xenbackWithoutPrivileges(Path directory, String... arguments) throws IOException {
        List<String> command = new ArrayList<>();
        if (RunDir.uid() == 0) {
            command.addAll(List.of("setpriv", "--inh-caps=-all", "--bounding-set=-all"));
        }
        command.addAll(launcher(arguments));
        return Tool.start(command, directory, Map.of());
    }

    private static List<String> launcher(String... arguments) {
        List<String> command = new ArrayList<>(List.of(ROOT.resolve("xenback").toString()));
        command.addAll(List.of(arguments));
        return command;
    }
}
