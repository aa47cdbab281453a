package xenback.daemon;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * An NBD export as a file, by qemu-storage-daemon over FUSE, so that tools which know only files and block devices work on a
 * guest's disk while it is served.
 */
final class FuseExport implements AutoCloseable {
    private final Tool daemon;
    private final Path file;

    private FuseExport(Tool daemon, Path file) {
        this.daemon = daemon;
        this.file = file;
    }

    /** Returns when the file shows the disk. */
    static FuseExport of(RunningServe serve, int index, Path file) throws Exception {
        Files.createFile(file);
        Tool daemon = Tool.start(
                List.of(
                        "qemu-storage-daemon",
                        "--blockdev",
                        "driver=nbd,node-name=disk,server.type=unix,server.path=" + serve.nbdSocket() + ",export=xbd"
                                + index,
                        "--export",
                        "type=fuse,id=file,node-name=disk,writable=on,mountpoint=" + file),
                file.getParent(),
                Map.of());
        var export = new FuseExport(daemon, file);
        try {
            Tool.awaitTrue("the disk as " + file, () -> Files.size(file) > 0);
        } catch (Exception | AssertionError e) {
            export.close();
            throw e;
        }
        return export;
    }

    String path() {
        return file.toString();
    }

    /** Ends the daemon, which writes back and flushes first. A daemon that was killed would leave its mount behind. */
    @Override
    public void close() {
        try (daemon) {
            daemon.signal("TERM");
            daemon.awaitEnd();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
