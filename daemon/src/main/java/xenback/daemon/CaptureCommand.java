package xenback.daemon;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code xenback capture}: the frames of interfaces of a running serve, both ways, into a pcapng file. */
@Command(
        name = "capture",
        description = "Write the frames of network interfaces of a running serve to a pcapng file, until Ctrl-C.",
        footer = {
            "%nFrames are kept whole, with their direction, and comments where a checksum is blank or validated or a frame",
            "is to be cut (gso). What the file does not take in time is dropped, and counted at the end.",
            "%nExample: xenback capture xnb0 -w - | wireshark -k -i -"
        })
final class CaptureCommand implements Callable<Integer> {
    private static final int CHUNK_BYTES = 256 << 10;
    private static final int END_PATIENCE_SECONDS = 10;

    private final Screen screen;

    @Parameters(
            arity = "1..64",
            paramLabel = "INTERFACE",
            description = "xnb0 as in dev.xnb.0, or a name from: xenback list")
    private List<String> interfaces = List.of();

    @Option(names = "-w", paramLabel = "FILE", required = true, description = "The file, or - for standard output.")
    private String file = "";

    @Option(names = "--run-dir", paramLabel = "DIR", description = "Run directory of the serve, if there are several.")
    private @Nullable Path runDir;

    CaptureCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws UserError, IOException {
        List<String> request = new ArrayList<>(List.of("capture"));
        for (String name : interfaces) {
            if (!name.matches("[-._a-zA-Z0-9]{1,64}")) {
                throw UserError.usage("'" + name + "' is no interface; see: xenback list");
            }
            request.add(name);
        }
        try (ControlClient client = ControlClient.ask(runDir, request);
                OutputStream out = open()) {
            screen.err("capturing " + String.join(" ", interfaces));
            CountDownLatch done = new CountDownLatch(1);
            Runtime.getRuntime().addShutdownHook(endingOf(client, done));
            try {
                CaptureSummary summary = copy(client.answer(), out);
                screen.err(summary.frames() + " frames, " + summary.dropped() + " dropped");
            } finally {
                done.countDown();
            }
        }
        return ExitCode.OK.status();
    }

    private OutputStream open() throws UserError {
        if (file.equals("-")) {
            return new FileOutputStream(FileDescriptor.out);
        }
        try {
            return new BufferedOutputStream(Files.newOutputStream(Path.of(file)), CHUNK_BYTES);
        } catch (IOException e) {
            throw UserError.failure(file + ": " + Reason.of(e), e);
        }
    }

    private static CaptureSummary copy(InputStream from, OutputStream to) throws IOException {
        CaptureSummary summary = new CaptureSummary();
        byte[] chunk = new byte[CHUNK_BYTES];
        for (int bytes = from.read(chunk); bytes > 0; bytes = from.read(chunk)) {
            to.write(chunk, 0, bytes);
            if (from.available() == 0) {
                to.flush(); // so that a reader of a pipe sees it now
            }
            summary.add(chunk, bytes);
        }
        to.flush();
        return summary;
    }

    /** Ctrl-C asks for the rest and the end of the file; the JVM would end with 128 + the signal, which is no failure here. */
    private Thread endingOf(ControlClient client, CountDownLatch done) {
        return Thread.ofPlatform().name("xenback-ending").unstarted(() -> {
            if (done.getCount() == 0) {
                return; // it has ended by itself, and its status counts
            }
            ExitCode status = ExitCode.OK;
            try {
                client.end();
                if (!done.await(END_PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                    screen.err("xenback: " + file + " takes no more; it ends without its last frames and their count");
                    status = ExitCode.FAILURE;
                }
            } catch (IOException | InterruptedException e) {
                // The other side was faster.
            }
            screen.close();
            Runtime.getRuntime().halt(status.status());
        });
    }
}
