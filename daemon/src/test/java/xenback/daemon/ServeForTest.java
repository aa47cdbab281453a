package xenback.daemon;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import xenback.block.protocol.Vdev;

/**
 * The program with a serving that serves nothing, for tests of what stands around it. The system property
 * {@code serving} chooses how it behaves.
 */
final class ServeForTest implements Serving {
    private final Announcer announcer;
    private final Path socket;

    private ServeForTest(Announcer announcer, Path socket) {
        this.announcer = announcer;
        this.socket = socket;
    }

    public static void main(String[] args) {
        int status;
        try (Screen screen = Screen.ofProcess()) {
            status = XenbackCommand.commandLine(ServeForTest::start, screen).execute(args);
        }
        System.exit(status);
    }

    private static Serving start(ServePlan plan, RunDir runDir, Announcer announcer)
            throws UserError, IOException, InterruptedException {
        switch (System.getProperty("serving", "")) {
            case "refused" -> throw new IOException("the disk is in use\nby others");
            case "broken" -> throw new IllegalStateException("a bug");
            case "hangs" -> {
                announcer.log("starting");
                new CountDownLatch(1).await();
            }
            default -> {}
        }
        DiskSpec disk = plan.disks().getFirst();
        Path socket = Files.createFile(runDir.socket("test.sock"));
        announcer.tell(new ServeEvent.Export(
                "xbd0", "xbdback1i51712", new Vdev(51712), disk.guestDomid(), 512, disk.readOnly(), socket.toString()));
        return new ServeForTest(announcer, socket);
    }

    @Override
    public List<DiskCounts> counts() {
        return List.of(new DiskCounts("xbd0", "xbdback1i51712", 0, 0, 0, 0, 3));
    }

    @Override
    public void awaitFailure() throws IOException, InterruptedException {
        if (System.getProperty("serving", "").equals("fails")) {
            throw new IOException("the store went away");
        }
        new CountDownLatch(1).await();
    }

    @Override
    public void close() throws IOException {
        announcer.log("draining");
        Files.delete(socket);
        announcer.tell(new ServeEvent.Detached("xbdback1i51712", 1));
        if (System.getProperty("serving", "").equals("sticks")) {
            throw new IOException("the last flush failed");
        }
    }
}
