package xenback.daemon;

import java.io.IOException;
import org.junit.jupiter.api.Assumptions;

/** Tests that only root can run. Elsewhere they are skipped, and say so; continuous integration runs as root. */
final class Root {
    private Root() {}

    static void need(String what) throws IOException {
        if (RunDir.uid() != 0) {
            System.err.println("SKIPPED, run the tests as root: " + what + " is needed");
            Assumptions.abort(what + " needs root");
        }
    }
}
