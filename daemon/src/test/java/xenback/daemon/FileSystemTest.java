package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A file system on a guest's disk: made, filled and checked through the split driver, and found whole in the image. */
@Timeout(120)
final class FileSystemTest extends Checkout {
    private static final Path TREE = root().resolve("daemon/src");

    @TempDir
    private Path directory;

    @Test
    void makesAndChecksAFileSystemWithItsFiles() throws Exception {
        try (RunningServe serve = RunningServe.start(directory, "--create=64M", "--disk=disk.img,raw,xvda,w")) {
            try (FuseExport disk = FuseExport.of(serve, 0, directory.resolve("disk"))) {
                Tool.need("mkfs.ext4", "-q", "-F", "-d", TREE.toString(), disk.path());
                Tool.need("e2fsck", "-fn", disk.path());
            }
            serve.stop();
        }
        assertWholeIn(directory.resolve("disk.img"), "/main", TREE.resolve("main"));
    }

    @Test
    void mountsAndFillsAFileSystem() throws Exception {
        Path mountPoint = Files.createDirectory(directory.resolve("mnt"));
        try (RunningServe serve = RunningServe.start(directory, "--create=64M", "--disk=disk.img,raw,xvda,w")) {
            try (FuseExport disk = FuseExport.of(serve, 0, directory.resolve("disk"))) {
                Tool.need("mkfs.ext4", "-q", "-F", disk.path());
                try (LoopDevice device = LoopDevice.over(Path.of(disk.path()));
                        Mounted mounted = Mounted.device(device.path(), mountPoint)) {
                    Tool.need(
                            "cp",
                            "-r",
                            TREE.toString(),
                            mounted.path().resolve("copied").toString());
                }
                Tool.need("e2fsck", "-fn", disk.path());
            }
            serve.stop();
        }
        assertWholeIn(directory.resolve("disk.img"), "/copied", TREE);
    }

    private void assertWholeIn(Path image, String found, Path wanted) throws Exception {
        Tool.need("e2fsck", "-fn", image.toString());
        Path out = Files.createDirectory(directory.resolve("out"));
        Tool.need("debugfs", "-R", "rdump " + found + " " + out, image.toString());
        assertThat(Tool.run("diff", "-r", wanted.toString(), out + found).out()).isEmpty();
    }
}
