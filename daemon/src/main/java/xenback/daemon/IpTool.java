package xenback.daemon;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import xenback.xen.Errno;
import xenback.xen.XenException;

/** Runs ip(8) of iproute2, which every Linux with network devices has. */
final class IpTool {
    private static final int PATIENCE_SECONDS = 20;

    private IpTool() {}

    /**
     * Runs {@code ip} with these words, in a network namespace if one is named.
     *
     * @throws XenException with what it said
     */
    static void run(Optional<String> namespace, String... words) throws XenException {
        List<String> command = new ArrayList<>(List.of("ip"));
        namespace.ifPresent(name -> command.addAll(List.of("-n", name)));
        command.addAll(List.of(words));
        run(new ProcessBuilder(command));
    }

    /** Runs a program to its end; the exception has its last words. */
    static void run(ProcessBuilder builder) throws XenException {
        String name = String.join(" ", builder.command());
        try {
            Process process = builder.redirectErrorStream(true)
                    .redirectInput(new java.io.File("/dev/null"))
                    .start();
            // A grandchild that keeps the stream open must not hold us up, so the end comes first.
            if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new XenException(Errno.EBUSY, name + ": did not end within " + PATIENCE_SECONDS + " s");
            }
            int available = process.getInputStream().available();
            String said = new String(process.getInputStream().readNBytes(available), StandardCharsets.UTF_8).strip();
            if (process.exitValue() != 0) {
                String last = said.substring(said.lastIndexOf('\n') + 1);
                throw new XenException(
                        Errno.EIO, name + ": " + (last.isEmpty() ? "ended with status " + process.exitValue() : last));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new XenException(Errno.EINTR, name + ": interrupted", e);
        } catch (IOException e) {
            throw e instanceof XenException known
                    ? known
                    : new XenException(Errno.ENOENT, name + ": " + e.getMessage(), e);
        }
    }
}
