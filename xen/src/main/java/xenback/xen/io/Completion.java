package xenback.xen.io;

/** Told the outcome of an operation that was started on an {@link EventLoop}, on that loop's thread. */
@FunctionalInterface
public interface Completion {
    /**
     * @param tag what the starter gave, to find its state without an object per operation
     * @param result what the system call would return: a count of bytes, a descriptor, an event mask, or a negative errno
     */
    void onCompletion(int tag, int result);
}
