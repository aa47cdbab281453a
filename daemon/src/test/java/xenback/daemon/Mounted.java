package xenback.daemon;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;

/** A mounted file system, for the time of a test. */
record Mounted(Path path) implements AutoCloseable {
    /** A file system in memory with room for so many bytes. */
    static Mounted memory(Path on, long sizeBytes) throws IOException, InterruptedException {
        Root.need("a file system that can get full");
        Tool.need("mount", "-t", "tmpfs", "-o", "size=" + sizeBytes, "none", on.toString());
        return new Mounted(on);
    }

    /** The file system on a block device. */
    static Mounted device(String device, Path on) throws IOException, InterruptedException {
        Root.need("a mount");
        Tool.need("mount", device, on.toString());
        return new Mounted(on);
    }

    /** What was written is on the device when this returns. */
    @Override
    public void close() {
        try {
            Tool.run("umount", path.toString());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
