package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class RunDirTest {
    @TempDir
    private Path directory;

    private Path base;

    @BeforeEach
    void nameBase() {
        base = directory.resolve("xenback");
    }

    @Test
    void isMadeForTheOwnerAloneAndRemovedAtTheEnd() throws Exception {
        RunDir runDir = RunDir.openBelow(base);

        assertThat(runDir.path())
                .isEqualTo(base.resolve(Long.toString(ProcessHandle.current().pid())));
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(runDir.path())))
                .isEqualTo("rwx------");
        Files.createFile(runDir.path().resolve("socket"));
        runDir.close();
        assertThat(runDir.path()).doesNotExist();
    }

    @Test
    void removesWhatDeadProcessesLeft() throws Exception {
        Path dead = Files.createDirectories(base.resolve("99999998"));
        Files.createFile(dead.resolve("lock"));
        Files.createDirectory(dead.resolve("below"));
        Path withoutLock = Files.createDirectories(base.resolve("99999999"));
        Path stranger = Files.createDirectories(base.resolve("notes"));
        Path precious = Files.writeString(directory.resolve("precious"), "kept");
        Files.createSymbolicLink(dead.resolve("link"), precious);
        Files.createSymbolicLink(base.resolve("77777777"), directory);
        makePrivate(base);

        try (RunDir runDir = RunDir.openBelow(base)) {
            assertThat(dead).doesNotExist();
            assertThat(withoutLock).doesNotExist();
            assertThat(stranger).exists();
            assertThat(precious).hasContent("kept");
            assertThat(runDir.path()).exists();
        }
    }

    @Test
    void isNotSharedByTwo() throws Exception {
        try (RunDir first = RunDir.open(base)) {
            assertThatThrownBy(() -> RunDir.open(base))
                    .isInstanceOf(UserError.class)
                    .hasMessage(
                            "run directory " + base + ": a running xenback uses it; choose another with --run-dir DIR");
            assertThat(first.path()).exists();
        }
    }

    @Test
    void takesAnEmptyDirectoryAndOneThatWasLeftBehind() throws Exception {
        Files.createDirectory(base);
        makePrivate(base);
        RunDir.open(base).close();
        Files.createDirectory(base);
        makePrivate(base);
        Files.createFile(base.resolve("lock"));
        Files.createFile(base.resolve("nbd.sock"));

        try (RunDir runDir = RunDir.open(base)) {
            assertThat(runDir.path().resolve("nbd.sock")).doesNotExist();
        }
    }

    @Test
    void neverTakesADirectoryWithSomebodysFiles() throws IOException {
        Files.createDirectory(base);
        makePrivate(base);
        Path precious = Files.writeString(base.resolve("precious"), "kept");

        assertThatThrownBy(() -> RunDir.open(base))
                .isInstanceOf(UserError.class)
                .hasMessage("--run-dir " + base + ": is not empty and not a run directory; name a new or empty one");
        assertThat(precious).hasContent("kept");
    }

    @Test
    void refusesADirectoryThatOthersCanWriteTo() throws IOException {
        Files.createDirectory(base);
        Files.setPosixFilePermissions(base, PosixFilePermissions.fromString("rwxrwxrwx"));

        assertThatThrownBy(() -> RunDir.openBelow(base))
                .isInstanceOf(UserError.class)
                .hasMessage("run directory " + base
                        + ": others may write to it; choose another with --run-dir DIR, or: chmod 700 " + base);
    }

    @Test
    void refusesAFileInItsPlace() throws IOException {
        Files.createFile(base);

        assertThatThrownBy(() -> RunDir.open(base))
                .isInstanceOf(UserError.class)
                .hasMessage("run directory " + base + ": is not a directory; choose another with --run-dir DIR");
    }

    @Test
    void refusesSocketsWhosePathNoKernelBinds() throws UserError {
        Path longest = Path.of("/" + "x".repeat(106));

        assertThat(RunDir.bindable(longest)).isEqualTo(longest);
        assertThatThrownBy(() -> RunDir.bindable(Path.of("/" + "x".repeat(107))))
                .isInstanceOf(UserError.class)
                .hasMessageContaining("has at most 107 bytes, this one has 108");
        assertThatThrownBy(() -> RunDir.bindable(Path.of("/" + "\u00e9".repeat(54))))
                .isInstanceOf(UserError.class);
    }

    @Test
    void prefersTheSessionsDirectoryThenTheSystems() {
        assertThat(RunDir.usualBase(Map.of("XDG_RUNTIME_DIR", directory.toString()), 1000))
                .isEqualTo(base);
        assertThat(RunDir.usualBase(Map.of("XDG_RUNTIME_DIR", "relative"), 0)).isEqualTo(Path.of("/run/xenback"));
        assertThat(RunDir.usualBase(Map.of("XDG_RUNTIME_DIR", "/nowhere/at/all"), 0))
                .isEqualTo(Path.of("/run/xenback"));
        assertThat(RunDir.usualBase(Map.of(), 0)).isEqualTo(Path.of("/run/xenback"));
        assertThat(RunDir.usualBase(Map.of(), 1000)).isEqualTo(Path.of("/tmp/xenback-1000"));
    }

    private static void makePrivate(Path path) throws IOException {
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwx------"));
    }
}
