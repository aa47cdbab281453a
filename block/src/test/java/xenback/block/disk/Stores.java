package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;
import xenback.block.Machine;

/** Files, loop devices and file systems as they are found on real machines, made below one directory and undone. Needs root. */
final class Stores {
    private final Path dir;

    /** What undoes each change to the machine, the last first. */
    private final Deque<List<String>> undo = new ArrayDeque<>();

    Stores(Path dir) {
        this.dir = dir;
    }

    /** A sparse file. */
    Path image(String name, long sizeBytes) throws IOException {
        return Machine.image(dir.resolve(name), sizeBytes);
    }

    /** A loop device over a file, with options of losetup(8). */
    Path loopDevice(Path image, String... options) throws IOException, InterruptedException {
        String[] command = new String[options.length + 4];
        System.arraycopy(options, 0, command, 1, options.length);
        command[0] = "losetup";
        command[options.length + 1] = "--find";
        command[options.length + 2] = "--show";
        command[options.length + 3] = image.toString();
        String device = run(command);
        undo.push(List.of("losetup", "-d", device));
        return Path.of(device);
    }

    /** Mounts a new file system without a device, such as tmpfs. */
    Path mount(String type, String options) throws IOException, InterruptedException {
        return mountAt(type, "-t", type, "-o", options, type);
    }

    /** Mounts a new ext4 with blocks of that size. */
    Path mountExt4(long sizeBytes, int blockBytes) throws IOException, InterruptedException {
        Path image = image("ext4.img", sizeBytes);
        run("mkfs.ext4", "-q", "-b", Integer.toString(blockBytes), image.toString());
        return mountAt("ext4", "-o", "loop", image.toString());
    }

    /** Mounts a device. */
    Path mount(Path device) throws IOException, InterruptedException {
        return mountAt("mnt", device.toString());
    }

    /** Undoes the last change that is left. */
    void undoLast() throws IOException, InterruptedException {
        run(undo.pop().toArray(String[]::new));
    }

    /** Blocks of 512 bytes that a file takes on its file system. */
    static long blocks(Path file) throws IOException, InterruptedException {
        return Long.parseLong(run("stat", "-c", "%b", file.toString()));
    }

    static String run(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        assertThat(process.waitFor(20, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue())
                .as("%s: %s", String.join(" ", command), output)
                .isZero();
        return output;
    }

    /** Undoes all changes; for the end of a test. */
    void undoAll() throws IOException, InterruptedException {
        while (!undo.isEmpty()) {
            undoLast();
        }
    }

    private Path mountAt(String name, String... arguments) throws IOException, InterruptedException {
        Path mountPoint = Files.createDirectory(dir.resolve(name));
        String[] command = new String[arguments.length + 2];
        command[0] = "mount";
        System.arraycopy(arguments, 0, command, 1, arguments.length);
        command[arguments.length + 1] = mountPoint.toString();
        run(command);
        undo.push(List.of("umount", mountPoint.toString()));
        return mountPoint;
    }
}
