package xenback.daemon;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A block device of the kernel over an image file, for the time of a test. */
record LoopDevice(String path) implements AutoCloseable {
    /** With options of losetup(8). */
    static LoopDevice over(Path image, String... options) throws IOException, InterruptedException {
        Root.need("a loop device");
        List<String> command = new ArrayList<>(List.of("losetup", "--find", "--show"));
        command.addAll(List.of(options));
        command.add(image.toString());
        return new LoopDevice(Tool.need(command.toArray(String[]::new)).strip());
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
