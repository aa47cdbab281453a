package xenback.daemon;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;

/** A block device of the kernel over an image file, for the time of a test. */
record LoopDevice(String path) implements AutoCloseable {
    static LoopDevice over(Path image) throws IOException, InterruptedException {
        Root.need("a loop device");
        return new LoopDevice(
                Tool.need("losetup", "--find", "--show", image.toString()).strip());
    }

    @Override
    public void close() {
        try {
            Tool.run("losetup", "--detach", path);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
