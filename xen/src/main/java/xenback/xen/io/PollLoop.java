package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Objects;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * The loop without io_uring: sockets and events through poll(2) on the loop's thread, files through {@code preadv} and
 * {@code pwritev} on a pool of platform threads.
 */
final class PollLoop extends EventLoop {
    private static final int F_SETFL = 4;
    private static final int O_RDWR = 2;
    private static final int O_NONBLOCK = 0x800;
    private static final int POLLERR = 8;
    private static final int POLLHUP = 0x10;
    private static final int POLLNVAL = 0x20;

    // struct pollfd (poll.h)
    private static final int POLLFD_BYTES = 8;
    private static final int POLLFD_EVENTS = 4;
    private static final int POLLFD_REVENTS = 6;

    private enum Kind {
        POLL,
        READ,
        RECV,
        SEND,
        ACCEPT
    }

    private final Arena arena = Arena.ofShared();
    private final MemorySegment state = Libc.newState(arena);
    private final MemorySegment msghdr = arena.allocate(UringLayout.MSGHDR_BYTES, 8);
    private final FilePool files;
    private final FilePool space;

    // Operations that wait for a descriptor, in parallel arrays; ended ones are filled from the back.
    private MemorySegment pollfds = arena.allocate(POLLFD_BYTES * 64L, 8);
    private Kind[] kinds = new Kind[64];
    private int[] slots = new int[64];
    private long[] addresses = new long[64];
    private int[] lengths = new int[64];
    private ScatterList[] lists = new ScatterList[64];
    private final ScatterList none = new ScatterList(1, arena);
    private int count;

    PollLoop(String name) throws XenException {
        super(name);
        files = new FilePool(name + "-io", wake, FilePool.FILE_THREADS);
        space = new FilePool(name + "-space", wake, FilePool.SPACE_THREADS);
    }

    @Override
    public Engine engine() {
        return Engine.THREADS;
    }

    @Override
    void open() {}

    @Override
    public void readv(NativeFile file, ScatterList into, long fileOffsetBytes, Completion done, int tag) {
        files.read(takeSlot(done, tag), file, into, fileOffsetBytes);
    }

    @Override
    public void writev(NativeFile file, ScatterList from, long fileOffsetBytes, Completion done, int tag) {
        files.write(takeSlot(done, tag), file, from, fileOffsetBytes);
    }

    @Override
    public void fdatasync(NativeFile file, Completion done, int tag) {
        files.sync(takeSlot(done, tag), file);
    }

    @Override
    public void changeSpace(
            NativeFile file, SpaceChange change, long offsetBytes, long lengthBytes, Completion done, int tag) {
        space.changeSpace(takeSlot(file, done, tag), file, change, offsetBytes, lengthBytes);
    }

    @Override
    public void poll(int fd, int events, Completion done, int tag) {
        add(Kind.POLL, fd, events, takeSlot(done, tag), 0, 0, none);
    }

    @Override
    public void readDevice(DeviceFile device, MemorySegment into, int length, Completion done, int tag) {
        add(Kind.READ, device.fd(), POLLIN, takeSlot(done, tag), into.address(), length, none);
    }

    @Override
    public void writeDevice(DeviceFile device, MemorySegment from, int length) {
        device.write(from, length);
    }

    @Override
    public void writeDevice(DeviceFile device, MemorySegment from, long offset, int length, Completion done, int tag) {
        completeLater(takeSlot(done, tag), device.write(from, offset, length));
    }

    @Override
    public void recv(int fd, MemorySegment into, long offset, int length, Completion done, int tag) {
        long address = into.address() + Objects.checkFromIndexSize(offset, length, into.byteSize());
        add(Kind.RECV, fd, POLLIN, takeSlot(done, tag), address, length, none);
    }

    @Override
    public void sendv(int fd, ScatterList from, Completion done, int tag) {
        add(Kind.SEND, fd, POLLOUT, takeSlot(done, tag), 0, 0, from);
    }

    @Override
    public void accept(int listenFd, Completion done, int tag) {
        // A client may be gone between poll and accept: then accept must not block.
        Libc.fcntl(state, listenFd, F_SETFL, O_RDWR | O_NONBLOCK);
        add(Kind.ACCEPT, listenFd, POLLIN, takeSlot(done, tag), 0, 0, none);
    }

    @Override
    void step(boolean wait) {
        dispatchReady();
        int timeout = wait && !hasCompletions() ? -1 : 0;
        int ready = Libc.poll(state, pollfds, count, timeout);
        if (ready < 0 && ready != -Errno.EINTR.number()) {
            throw new IllegalStateException("poll: errno " + -ready);
        }
        // From the back: an ended operation is replaced by the last one, which has been looked at already.
        for (int i = count - 1; i >= 0 && ready > 0; i--) {
            int revents = pollfds.get(ValueLayout.JAVA_SHORT, (long) POLLFD_BYTES * i + POLLFD_REVENTS);
            if (revents != 0) {
                ready--;
                perform(i, revents);
            }
        }
        dispatchReady();
        files.takeResults(this);
        space.takeResults(this);
    }

    @Override
    void cancel(int slot) {
        for (int i = 0; i < count; i++) {
            if (slots[i] == slot && kinds[i] == Kind.POLL) {
                completeLater(slot, -Errno.ECANCELED.number());
                remove(i);
                return;
            }
        }
    }

    @Override
    boolean hasCompletions() {
        return files.hasResults() || space.hasResults();
    }

    @Override
    void closeEngine() {
        files.close();
        space.close();
        arena.close();
    }

    private void perform(int index, int revents) {
        int fd = pollfds.get(ValueLayout.JAVA_INT, (long) POLLFD_BYTES * index);
        int result = switch (kinds[index]) {
            case POLL -> revents;
            case READ -> (int) Libc.read(state, fd, addresses[index], lengths[index]);
            case RECV -> receive(index, fd, revents);
            case SEND -> send(fd, lists[index]);
            case ACCEPT -> accept(fd, revents);
        };
        if (result == -Errno.EAGAIN.number() || result == -Errno.EINTR.number()) {
            return; // not ready after all
        }
        // Told after the whole list was looked at: a starter may add operations, which changes the list.
        completeLater(slots[index], result);
        remove(index);
    }

    /** After shutdown poll reports HUP for ever, and a unix socket that does not block says EAGAIN as long (af_unix.c). */
    private int accept(int fd, int revents) {
        int result = Libc.accept4(state, fd, UringLayout.SOCK_CLOEXEC);
        return result == -Errno.EAGAIN.number() && (revents & POLLHUP) != 0 ? -Errno.EINVAL.number() : result;
    }

    /** A socket tells an error once: where poll has seen one it is asked for by name, else there is just nothing yet. */
    private int receive(int index, int fd, int revents) {
        long address = addresses[index];
        if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
            return (int) Libc.recv(state, fd, address, lengths[index], UringLayout.MSG_DONTWAIT);
        }
        int bytes = (int) Libc.tryRecv(fd, address, lengths[index], UringLayout.MSG_DONTWAIT);
        return bytes < 0 ? -Errno.EAGAIN.number() : bytes;
    }

    private int send(int fd, ScatterList list) {
        msghdr.set(ValueLayout.JAVA_LONG, UringLayout.MSGHDR_IOV, list.iovecAddress());
        msghdr.set(ValueLayout.JAVA_LONG, UringLayout.MSGHDR_IOVLEN, list.count());
        return (int) Libc.sendmsg(state, fd, msghdr.address(), UringLayout.MSG_NOSIGNAL | UringLayout.MSG_DONTWAIT);
    }

    private void add(Kind kind, int fd, int events, int slot, long address, int length, ScatterList list) {
        if (count == kinds.length) {
            grow();
        }
        long at = (long) POLLFD_BYTES * count;
        pollfds.set(ValueLayout.JAVA_INT, at, fd);
        pollfds.set(ValueLayout.JAVA_SHORT, at + POLLFD_EVENTS, (short) events);
        pollfds.set(ValueLayout.JAVA_SHORT, at + POLLFD_REVENTS, (short) 0);
        kinds[count] = kind;
        slots[count] = slot;
        addresses[count] = address;
        lengths[count] = length;
        lists[count++] = list;
    }

    private void remove(int index) {
        int last = --count;
        MemorySegment.copy(pollfds, (long) POLLFD_BYTES * last, pollfds, (long) POLLFD_BYTES * index, POLLFD_BYTES);
        kinds[index] = kinds[last];
        slots[index] = slots[last];
        addresses[index] = addresses[last];
        lengths[index] = lengths[last];
        lists[index] = lists[last];
        lists[last] = none;
    }

    private void grow() {
        int capacity = count * 2;
        MemorySegment larger = arena.allocate((long) POLLFD_BYTES * capacity, 8);
        larger.copyFrom(pollfds); // the old array stays in the arena: doubling wastes at most as much again
        pollfds = larger;
        kinds = Arrays.copyOf(kinds, capacity);
        slots = Arrays.copyOf(slots, capacity);
        addresses = Arrays.copyOf(addresses, capacity);
        lengths = Arrays.copyOf(lengths, capacity);
        lists = Arrays.copyOf(lists, capacity);
    }
}
