package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.block.protocol.Vdev;

/** What a look at the stores finds. What depends on a user without root's privileges is in BadInputTest. */
final class DiskPreflightTest {
    @TempDir
    private Path directory;

    @Test
    void takesAnImage() throws Exception {
        DiskPreflight.check(List.of(disk(image("disk.img", 1024))));
    }

    @Test
    void refusesAMissingFile() {
        Path missing = directory.resolve("disk.img");

        assertFailure(missing, missing + ": no such file; check the path, or make a new image with --create SIZE");
    }

    @Test
    void refusesALinkToNowhere() throws IOException {
        Path link = Files.createSymbolicLink(directory.resolve("link"), directory.resolve("nowhere"));

        assertFailure(link, link + ": no such file; check the path, or make a new image with --create SIZE");
    }

    @Test
    void refusesADirectory() {
        assertFailure(directory, directory + ": is a directory; name an image file or a block device");
    }

    @Test
    void refusesACharacterDevice() {
        assertFailure(Path.of("/dev/null"), "/dev/null: is neither a file nor a block device");
    }

    @Test
    void refusesAnEmptyFile() throws IOException {
        Path empty = image("empty.img", 0);

        assertFailure(empty, empty + ": is empty; give it a size with: truncate -s 1G FILE");
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 511, 513, 1023})
    void refusesASizeThatIsNoMultipleOfASector(long bytes) throws IOException {
        Path odd = image("odd.img", bytes);

        assertFailure(
                odd, odd + ": has " + bytes + " bytes, not a multiple of 512; enlarge it with: truncate -s %512 FILE");
    }

    @Test
    void refusesTwoDisksOfOneNameInOneGuest() {
        DiskSpec first = disk(directory.resolve("a.img"));
        DiskSpec second = disk(directory.resolve("b.img"));

        assertThatThrownBy(() -> DiskPreflight.checkVdevs(List.of(first, second)))
                .isInstanceOfSatisfying(
                        UserError.class, error -> assertThat(error.exitCode()).isEqualTo(ExitCode.USAGE))
                .hasMessage("--disk " + directory + "/b.img: xvda of domain 1 is taken by another --disk;"
                        + " choose another vdev or guest=N");
    }

    @Test
    void looksForNothingBehindTheNullDisk() throws UserError {
        DiskSpec disk = disk(Path.of("null:1G"));
        DiskPreflight.check(List.of(disk));
        DiskPreflight.checkOrCreate(List.of(disk), 1 << 20);
        assertThat(Path.of("null:1G")).doesNotExist();
    }

    @Test
    void takesOneNameInTwoGuestsAndTwoNamesInOne() throws UserError {
        DiskSpec first = disk(directory.resolve("a.img"));
        DiskSpec otherGuest = disk(first.target(), 51712, 2);
        DiskSpec otherName = disk(first.target(), 51728, 1);

        DiskPreflight.checkVdevs(List.of(first, otherGuest, otherName));
    }

    @Test
    void makesASparseImageOfTheSizeAskedFor() throws Exception {
        Path image = directory.resolve("new.img");

        DiskPreflight.checkOrCreate(List.of(disk(image)), 1L << 30);

        assertThat(Files.size(image)).isEqualTo(1L << 30);
        assertThat(blocks(image)).isLessThan(64);
    }

    @Test
    void keepsAnImageThatHasTheSizeAskedFor() throws Exception {
        Path image = Files.write(directory.resolve("disk.img"), new byte[] {1, 2, 3, 4});
        try (var channel = Files.newByteChannel(image, StandardOpenOption.WRITE)) {
            channel.position(1023).write(ByteBuffer.allocate(1));
        }

        DiskPreflight.checkOrCreate(List.of(disk(image)), 1024);

        assertThat(Files.readAllBytes(image)).hasSize(1024).startsWith(1, 2, 3, 4);
    }

    @Test
    void refusesToCreateOverAnImageOfAnotherSize() throws IOException {
        Path image = image("disk.img", 1024);

        assertThatThrownBy(() -> DiskPreflight.checkOrCreate(List.of(disk(image)), 2048))
                .isInstanceOf(UserError.class)
                .hasMessage(image + ": exists with 1024 bytes, --create asks for 2048;"
                        + " leave out --create, or name another file");
        assertThat(Files.size(image)).isEqualTo(1024);
    }

    @Test
    void makesNothingIfAnotherDiskIsWrong() throws IOException {
        Path missing = directory.resolve("new.img");
        Path other = image("disk.img", 512);

        assertThatThrownBy(() -> DiskPreflight.checkOrCreate(List.of(disk(missing), disk(other)), 1024))
                .isInstanceOf(UserError.class);
        assertThat(missing).doesNotExist();
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1, 1000})
    void refusesToCreateWhatIsNoDisk(long bytes) {
        assertThatThrownBy(() -> DiskPreflight.checkOrCreate(List.of(disk(directory.resolve("x"))), bytes))
                .isInstanceOfSatisfying(
                        UserError.class, error -> assertThat(error.exitCode()).isEqualTo(ExitCode.USAGE))
                .hasMessage("--create " + bytes + ": a disk has a multiple of 512 bytes, and not 0");
    }

    @Test
    void refusesToCreateInADirectoryThatIsNotThere() {
        Path image = directory.resolve("missing/disk.img");

        assertThatThrownBy(() -> DiskPreflight.checkOrCreate(List.of(disk(image)), 1024))
                .isInstanceOf(UserError.class)
                .hasMessage(image + ": its directory does not exist; make it with: mkdir -p " + image.getParent());
    }

    @Test
    void leavesNothingOfAnImageThatDoesNotFit() {
        Path image = directory.resolve("huge.img");

        assertThatThrownBy(() -> DiskPreflight.checkOrCreate(List.of(disk(image)), Long.MAX_VALUE - 511))
                .isInstanceOf(UserError.class)
                .hasMessageStartingWith(image + ": cannot be made with 9223372036854775296 bytes: ");
        assertThat(image).doesNotExist();
    }

    @Test
    void makesAllImagesOrNone() {
        Path image = directory.resolve("good.img");
        Path impossible = Path.of("/proc/xenback-test.img");

        assertThatThrownBy(() -> DiskPreflight.checkOrCreate(List.of(disk(image), disk(impossible)), 1024))
                .isInstanceOf(UserError.class)
                .hasMessageStartingWith(impossible + ": cannot be made with 1024 bytes: ");
        assertThat(image).doesNotExist();
    }

    private void assertFailure(Path target, String message) {
        assertThatThrownBy(() -> DiskPreflight.check(List.of(disk(target))))
                .isInstanceOfSatisfying(
                        UserError.class, error -> assertThat(error.exitCode()).isEqualTo(ExitCode.FAILURE))
                .hasMessage(message);
    }

    private Path image(String name, long bytes) throws IOException {
        Path image = Files.createFile(directory.resolve(name));
        try (var file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(bytes);
        }
        return image;
    }

    private static long blocks(Path image) throws Exception {
        return Long.parseLong(
                Tool.run("stat", "-c", "%b", image.toString()).out().strip());
    }

    private static DiskSpec disk(Path target) {
        return disk(target, 51712, 1);
    }

    private static DiskSpec disk(Path target, int vdev, int guestDomid) {
        return new DiskSpec(
                target,
                DiskFormat.RAW,
                new Vdev(vdev),
                false,
                DeviceType.DISK,
                true,
                guestDomid,
                CachePolicy.BUFFERED,
                false);
    }
}
