package xenback.xen.io;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import xenback.xen.XenException;

/** Work done in another network namespace (setns(2)). */
public final class NetworkNamespace {
    /** Where {@code ip netns} keeps them by name. */
    private static final Path NAMED = Path.of("/run/netns");

    private static final int O_RDONLY_CLOEXEC = 0x80000;
    private static final int CLONE_NEWNET = 0x40000000;

    /** What is to be done there. */
    @FunctionalInterface
    public interface Work<T> {
        T run() throws XenException;
    }

    private NetworkNamespace() {}

    /** The file that stands for a namespace of {@code ip netns}; not looked up. */
    public static Path named(String name) {
        return NAMED.resolve(name);
    }

    /** True if there is such a namespace. */
    public static boolean exists(String name) {
        return !name.isEmpty() && !name.contains("/") && !name.startsWith(".") && Files.exists(named(name));
    }

    /**
     * Runs {@code work} on a thread of its own that has entered the namespace: what it opens there stays there, whoever uses it
     * later. It must start no thread, which would inherit the namespace. Waits for the end.
     *
     * @throws XenException EPERM without CAP_SYS_ADMIN, ENOENT, EINVAL if the file is no namespace; or what the work throws
     */
    public static <T> T in(Path namespace, Work<T> work) throws XenException {
        CompletableFuture<T> answer = new CompletableFuture<>();
        Thread.ofPlatform().name("netns").daemon().start(() -> {
            try {
                enter(namespace);
                answer.complete(work.run());
            } catch (Throwable e) { // whatever it is belongs to the caller
                answer.completeExceptionally(e);
            }
        });
        try {
            return answer.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof XenException cause) {
                throw cause;
            }
            throw e;
        }
    }

    private static void enter(Path namespace) throws XenException {
        int fd = (int) Native.check(
                namespace.toString(),
                (arena, state) -> Libc.open(state, arena.allocateFrom(namespace.toString()), O_RDONLY_CLOEXEC, 0));
        try {
            Native.check(namespace.toString(), (_, state) -> Libc.setns(state, fd, CLONE_NEWNET));
        } finally {
            Native.close(fd);
        }
    }
}
