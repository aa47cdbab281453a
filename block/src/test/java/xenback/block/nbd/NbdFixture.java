package xenback.block.nbd;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import xenback.xen.io.EventLoop;

/** A loop, a memory disk exported as "disk" and a server on a unix socket. */
final class NbdFixture implements AutoCloseable {
    static final int DISK_BYTES = 64 << 20;

    final Path directory;
    final EventLoop loop;
    final MemoryDisk disk = new MemoryDisk(DISK_BYTES);
    final Path socket;
    final NbdServer server;

    NbdFixture(EventLoop.Engine engine) throws IOException {
        directory = Files.createTempDirectory("nbd");
        loop = EventLoop.start("nbd-test", engine);
        socket = directory.resolve("nbd.sock");
        server = NbdServer.start(socket, List.of(new NbdExport("disk", "for tests", disk, loop)));
    }

    /** A client past the handshake, with structured replies and extents. */
    NbdClient connect() throws IOException {
        NbdClient client = NbdClient.unix(socket);
        client.greet(true);
        client.structuredReply();
        client.setMetaContext("disk", "base:allocation");
        client.go("disk");
        return client;
    }

    /** A client past the handshake, as plain as can be. */
    NbdClient connectPlain() throws IOException {
        NbdClient client = NbdClient.unix(socket);
        client.greet(true);
        client.go("disk");
        return client;
    }

    NbdCounters counters() {
        return server.counters("disk");
    }

    /** Waits for a fact that another thread brings about; the test's timeout bounds it. */
    static void await(BooleanSupplier fact) {
        while (!fact.getAsBoolean()) {
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
            if (Thread.interrupted()) {
                throw new AssertionError("interrupted while waiting");
            }
        }
    }

    @Override
    public void close() throws IOException {
        disk.holding = false;
        server.close();
        loop.close();
        Files.deleteIfExists(directory);
    }
}
