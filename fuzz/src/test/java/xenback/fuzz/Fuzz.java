package xenback.fuzz;

import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What fuzz/run starts: under Jazzer, which calls the two public methods by name, or alone to replay files. The system
 * property {@code xenback.fuzz.target} names the target.
 */
public final class Fuzz {
    private static FuzzTarget target;

    private Fuzz() {}

    public static void fuzzerInitialize() throws Exception {
        target = Target.of(System.getProperty("xenback.fuzz.target")).make();
    }

    public static void fuzzerTestOneInput(byte[] bytes) throws Exception {
        target.run(new FuzzInput(bytes));
    }

    /** Runs the inputs in the files, without Jazzer; without files, lists the targets. */
    public static void main(String[] files) throws Exception {
        if (files.length == 0) {
            for (Target each : Target.values()) {
                System.out.println(each.text());
            }
            return;
        }
        fuzzerInitialize();
        for (String file : files) {
            System.out.println(file);
            fuzzerTestOneInput(Files.readAllBytes(Path.of(file)));
        }
        target.close();
    }
}
