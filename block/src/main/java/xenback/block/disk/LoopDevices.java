package xenback.block.disk;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** Which image files the kernel's loop devices stand on: those may be mounted, and no lock shows it. */
final class LoopDevices {
    private static final Path BLOCK = Path.of("/sys/block");

    private LoopDevices() {}

    /** The loop device over a file, such as {@code /dev/loop0}; empty if there is none. */
    static String over(Path file) {
        try (DirectoryStream<Path> loops = Files.newDirectoryStream(BLOCK, "loop*")) {
            for (Path loop : loops) {
                Path backing = loop.resolve("loop/backing_file");
                if (Files.exists(backing)
                        && isSame(Path.of(Files.readString(backing).strip()), file)) {
                    return "/dev/" + loop.getFileName();
                }
            }
        } catch (IOException e) {
            return ""; // no sysfs here, or a loop device that is just going: nothing can be said
        }
        return "";
    }

    private static boolean isSame(Path backing, Path file) {
        try {
            return Files.isSameFile(backing, file);
        } catch (IOException e) {
            return false; // deleted, or in another mount namespace
        }
    }
}
