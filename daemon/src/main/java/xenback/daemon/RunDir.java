package xenback.daemon;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The directory for the sockets of one running process, mode 0700. It is this process's while it holds a lock on the file
 * {@code lock} in it, so what a killed process left behind is known by its free lock, and process numbers that come again
 * do no harm.
 */
final class RunDir implements AutoCloseable {
    private static final String LOCK = "lock";

    /** The size of sun_path, less the closing NUL (unix(7)). */
    private static final int LONGEST_SOCKET_BYTES = 107;

    private static final FileAttribute<Set<PosixFilePermission>> OWNER_ONLY =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));

    private final Path path;
    private final FileChannel lock;

    private RunDir(Path path, FileChannel lock) {
        this.path = path;
        this.lock = lock;
    }

    /** Where run directories are made: {@code $XDG_RUNTIME_DIR/xenback}, for root {@code /run/xenback}, else below /tmp. */
    static Path usualBase(Map<String, String> environment, int uid) {
        String runtime = environment.getOrDefault("XDG_RUNTIME_DIR", "");
        if (runtime.startsWith("/") && Files.isDirectory(Path.of(runtime))) {
            return Path.of(runtime, "xenback");
        }
        return uid == 0 ? Path.of("/run/xenback") : Path.of("/tmp", "xenback-" + uid);
    }

    /** The user that this process runs as. */
    static int uid() throws IOException {
        return (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    }

    /** Makes the directory of this process below {@code base} and removes those of processes that are no more. */
    static RunDir openBelow(Path base) throws UserError {
        try {
            Files.createDirectories(base.toAbsolutePath().getParent());
            createOwned(base);
            // One process at a time makes or clears: so a directory without a held lock is nobody's.
            try (FileChannel turn = openLock(base)) {
                turn.lock(); // given back when the channel is closed
                clearLeftovers(base);
                Path path = base.resolve(Long.toString(ProcessHandle.current().pid()));
                createOwned(path);
                return locked(path);
            }
        } catch (IOException e) {
            throw UserError.failure("run directory " + Reason.withFile(e) + "; choose another with --run-dir DIR", e);
        }
    }

    /** Takes the directory {@code path} itself: a new one, an empty one, or one that a xenback left behind. */
    static RunDir open(Path path) throws UserError {
        try {
            Files.createDirectories(path.toAbsolutePath().getParent());
            createOwned(path);
            // Everything in a run directory is deleted, so nobody's files may be in it.
            if (!Files.exists(path.resolve(LOCK)) && !empty(path)) {
                throw UserError.failure(
                        "--run-dir " + path + ": is not empty and not a run directory; name a new or empty one");
            }
            return locked(path);
        } catch (IOException e) {
            throw UserError.failure("run directory " + Reason.withFile(e) + "; choose another with --run-dir DIR", e);
        }
    }

    Path path() {
        return path;
    }

    /** The path for a socket of that name, checked against what the kernel can bind. */
    Path socket(String name) throws UserError {
        return bindable(path.resolve(name));
    }

    /** {@code socket}, if the kernel can bind a path of its length. */
    static Path bindable(Path socket) throws UserError {
        int bytes = socket.toString().getBytes(StandardCharsets.UTF_8).length;
        if (bytes > LONGEST_SOCKET_BYTES) {
            throw UserError.failure(socket + ": a socket's path has at most " + LONGEST_SOCKET_BYTES
                    + " bytes, this one has " + bytes + "; choose a shorter one with --nbd-socket or --run-dir");
        }
        return socket;
    }

    /** Deletes the directory with all that is in it. */
    @Override
    public void close() throws IOException {
        try (lock) {
            deleteTree(path);
        }
    }

    private static RunDir locked(Path path) throws IOException, UserError {
        FileChannel lock = openLock(path);
        if (tryLock(lock) == null) {
            lock.close();
            throw UserError.failure(
                    "run directory " + path + ": a running xenback uses it; choose another with --run-dir DIR");
        }
        try (DirectoryStream<Path> leftovers = Files.newDirectoryStream(path)) {
            for (Path leftover : leftovers) {
                if (!leftover.endsWith(LOCK)) {
                    deleteTree(leftover);
                }
            }
        }
        return new RunDir(path, lock);
    }

    private static void clearLeftovers(Path base) throws IOException {
        try (DirectoryStream<Path> candidates = Files.newDirectoryStream(base, "[0-9]*")) {
            for (Path candidate : candidates) {
                if (Files.isDirectory(candidate, LinkOption.NOFOLLOW_LINKS) && !inUse(candidate)) {
                    deleteTree(candidate);
                }
            }
        }
    }

    private static boolean inUse(Path candidate) throws IOException {
        Path lock = candidate.resolve(LOCK);
        if (!Files.exists(lock, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        try (FileChannel channel = openLock(candidate)) {
            return tryLock(channel) == null;
        } catch (NoSuchFileException itsOwnerWasFaster) {
            return false;
        }
    }

    private static FileChannel openLock(Path directory) throws IOException {
        return FileChannel.open(
                directory.resolve(LOCK),
                Set.of(StandardOpenOption.WRITE, StandardOpenOption.CREATE, LinkOption.NOFOLLOW_LINKS));
    }

    private static @Nullable FileLock tryLock(FileChannel channel) throws IOException {
        try {
            return channel.tryLock();
        } catch (OverlappingFileLockException heldHere) {
            return null;
        }
    }

    /** A directory that others could write to or own would let them take our sockets' names (symlinks in /tmp). */
    private static void createOwned(Path directory) throws IOException, UserError {
        if (Files.notExists(directory, LinkOption.NOFOLLOW_LINKS)) {
            Files.createDirectory(directory, OWNER_ONLY);
        }
        if (!Files.isDirectory(directory)) {
            throw UserError.failure(
                    "run directory " + directory + ": is not a directory; choose another with --run-dir DIR");
        }
        Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(directory);
        boolean othersWrite = permissions.contains(PosixFilePermission.GROUP_WRITE)
                || permissions.contains(PosixFilePermission.OTHERS_WRITE);
        if (othersWrite || !Files.getAttribute(directory, "unix:uid").equals(uid())) {
            throw UserError.failure("run directory " + directory
                    + ": others may write to it; choose another with --run-dir DIR, or: chmod 700 " + directory);
        }
    }

    private static boolean empty(Path directory) throws IOException {
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(directory)) {
            return !entries.iterator().hasNext();
        }
    }

    /** Deletes without following links, and does not mind what another process deleted first. */
    private static void deleteTree(Path root) throws IOException {
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.deleteIfExists(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException failure) throws IOException {
                if (failure instanceof NoSuchFileException) {
                    return FileVisitResult.CONTINUE;
                }
                throw failure;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, @Nullable IOException failure)
                    throws IOException {
                if (failure != null) {
                    throw failure;
                }
                Files.deleteIfExists(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
