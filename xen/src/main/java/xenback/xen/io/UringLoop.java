package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * The loop over one io_uring. Its thread alone submits and reaps (SINGLE_ISSUER), and completions are produced only when
 * it asks (DEFER_TASKRUN, Linux 6.1), so they need no interrupt of the thread; older kernels get the same without these
 * two flags.
 *
 * <p>Buffered writes are done by an inline {@code pwritev} on the loop's thread: on ext4 io_uring hands them to a worker
 * thread, which was measured at twice the CPU per request. Files in memory (tmpfs) are also read inline: there is no device
 * to wait for, a trip through the ring was measured at twice the CPU, and where tmpfs cannot say EAGAIN io_uring hands its
 * reads to a worker thread.
 */
final class UringLoop extends EventLoop {
    private static final int SQ_ENTRIES = 256;
    private static final int CQ_ENTRIES = 4096;

    /** User data of an entry that nobody waits for. */
    private static final int NOBODY = -1;

    /**
     * Steps in a row that may go without asking the kernel for completions, because inline operations were dispatched in each
     * and nothing is to be submitted. Bounded: events and other disks' completions come by the ring.
     */
    private static final int MAX_STEPS_UNASKED = 8;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final VarHandle INT_AT = INT.varHandle().withInvokeExactBehavior();

    private final Arena arena = Arena.ofShared();
    private final MemorySegment state = Libc.newState(arena);
    private final SendHeaders sendHeaders = new SendHeaders(arena);

    /** For the ioctls, which Linux 6.1 cannot do through the ring. */
    private final FilePool space;

    private int ring = -1;

    // Both rings, in one mapping; the offsets of their fields in it.
    private MemorySegment rings = MemorySegment.NULL;
    private MemorySegment sqes = MemorySegment.NULL;
    private long sqHeadAt;
    private long sqTailAt;
    private long cqHeadAt;
    private long cqTailAt;
    private long cqesAt;
    private int sqMask;
    private int cqMask;
    private int quietFlags; // for entries whose success nobody asks for

    private int sqTail; // ours; published to the kernel at submission
    private int sqSubmitted; // what the kernel has taken up to
    private int cqHead;
    private int stepsUnasked;

    UringLoop(String name) throws XenException {
        super(name);
        space = new FilePool(name + "-space", wake, FilePool.SPACE_THREADS);
    }

    @Override
    public Engine engine() {
        return Engine.URING;
    }

    @Override
    void open() throws XenException {
        MemorySegment params = arena.allocate(UringLayout.PARAMS_BYTES, 8);
        int setup = UringLayout.SETUP_CQSIZE | UringLayout.SETUP_CLAMP;
        long result = setUp(
                params,
                setup
                        | UringLayout.SETUP_SUBMIT_ALL
                        | UringLayout.SETUP_SINGLE_ISSUER
                        | UringLayout.SETUP_DEFER_TASKRUN);
        if (result == -Errno.EINVAL.number()) {
            result = setUp(params, setup); // before Linux 6.1
        }
        if (result < 0) {
            throw Native.failure("io_uring_setup", (int) -result);
        }
        ring = (int) result;
        int needed = UringLayout.FEATURE_SINGLE_MMAP | UringLayout.FEATURE_NODROP;
        if ((params.get(INT, UringLayout.PARAMS_FEATURES) & needed) != needed) {
            closeEngine();
            throw new XenException(Errno.ENOSYS, "io_uring of this kernel is too old (Linux 5.5 is needed)");
        }
        if ((params.get(INT, UringLayout.PARAMS_FEATURES) & UringLayout.FEATURE_CQE_SKIP) != 0) {
            quietFlags = UringLayout.SQE_CQE_SKIP_SUCCESS << 8;
        }
        mapRings(params);
    }

    @Override
    public void readv(NativeFile file, ScatterList into, long fileOffsetBytes, Completion done, int tag) {
        int slot = takeSlot(done, tag);
        if (file.inMemory()) {
            completeLater(
                    slot, (int) Libc.preadv(state, file.fd(), into.iovecAddress(), into.count(), fileOffsetBytes));
        } else {
            transfer(UringLayout.OP_READ, UringLayout.OP_READV, file.fd(), into, fileOffsetBytes, slot);
        }
    }

    @Override
    public void writev(NativeFile file, ScatterList from, long fileOffsetBytes, Completion done, int tag) {
        int slot = takeSlot(done, tag);
        // A change of space holds the file's lock, for seconds if its extents are many: then a worker thread shall
        // wait.
        if (file.direct() && !file.inMemory() || file.isSpaceChanging()) {
            transfer(UringLayout.OP_WRITE, UringLayout.OP_WRITEV, file.fd(), from, fileOffsetBytes, slot);
        } else {
            completeLater(
                    slot, (int) Libc.pwritev(state, file.fd(), from.iovecAddress(), from.count(), fileOffsetBytes));
        }
    }

    @Override
    public void fdatasync(NativeFile file, Completion done, int tag) {
        submit(UringLayout.OP_FSYNC, file.fd(), 0, 0, 0, UringLayout.FSYNC_DATASYNC, takeSlot(done, tag));
    }

    /** io_uring always hands fallocate to a worker thread, so it does not block here. */
    @Override
    public void changeSpace(
            NativeFile file, SpaceChange change, long offsetBytes, long lengthBytes, Completion done, int tag) {
        int slot = takeSlot(file, done, tag);
        if (change.isFallocate()) {
            submit(UringLayout.OP_FALLOCATE, file.fd(), offsetBytes, lengthBytes, change.mode(), 0, slot);
        } else {
            space.changeSpace(slot, file, change, offsetBytes, lengthBytes);
        }
    }

    @Override
    public void poll(int fd, int events, Completion done, int tag) {
        submit(UringLayout.OP_POLL_ADD, fd, 0, 0, 0, events, takeSlot(done, tag));
    }

    @Override
    public void readDevice(DeviceFile device, MemorySegment into, int length, Completion done, int tag) {
        if (sqMask - pendingEntries() < 1) {
            enter(0); // a link does not reach over two submissions
        }
        int poll = UringLayout.OP_POLL_ADD | UringLayout.SQE_IO_LINK << 8 | quietFlags;
        submit(poll, device.fd(), 0, 0, 0, POLLIN, NOBODY);
        submit(UringLayout.OP_READ, device.fd(), 0, into.address(), length, 0, takeSlot(done, tag));
    }

    @Override
    public void writeDevice(DeviceFile device, MemorySegment from, int length) {
        submit(UringLayout.OP_WRITE | quietFlags, device.fd(), 0, from.address(), length, 0, NOBODY);
    }

    @Override
    public void writeDevice(DeviceFile device, MemorySegment from, long offset, int length, Completion done, int tag) {
        long address = from.address() + Objects.checkFromIndexSize(offset, length, from.byteSize());
        submit(UringLayout.OP_WRITE, device.fd(), 0, address, length, 0, takeSlot(done, tag));
    }

    @Override
    public void recv(int fd, MemorySegment into, long offset, int length, Completion done, int tag) {
        long address = into.address() + Objects.checkFromIndexSize(offset, length, into.byteSize());
        submit(UringLayout.OP_RECV, fd, 0, address, length, 0, takeSlot(done, tag));
    }

    @Override
    public void sendv(int fd, ScatterList from, Completion done, int tag) {
        int slot = takeSlot(done, tag);
        long header = sendHeaders.fill(slot, from);
        submit(UringLayout.OP_SENDMSG, fd, 0, header, 1, UringLayout.MSG_NOSIGNAL, slot);
    }

    @Override
    public void accept(int listenFd, Completion done, int tag) {
        submit(UringLayout.OP_ACCEPT, listenFd, 0, 0, 0, UringLayout.SOCK_CLOEXEC, takeSlot(done, tag));
    }

    @Override
    void step(boolean wait) {
        boolean dispatched = dispatchReady();
        boolean completed = hasCompletions();
        if (sqTail != sqSubmitted || !completed && !(dispatched && ++stepsUnasked < MAX_STEPS_UNASKED)) {
            // GETEVENTS also where we do not wait: with DEFER_TASKRUN completions are produced only then.
            enter(wait && !completed ? 1 : 0);
            stepsUnasked = 0;
        }
        int tail = cqTail();
        // Bounded by what was there at the start of the sweep.
        while (cqHead != tail) {
            long at = cqesAt + (long) (cqHead & cqMask) * UringLayout.CQE_BYTES;
            int slot = (int) rings.get(LONG, at + UringLayout.CQE_USER_DATA);
            int result = rings.get(INT, at + UringLayout.CQE_RES);
            cqHead++;
            // Release: the kernel may reuse the cell only after we have read it.
            INT_AT.setRelease(rings, cqHeadAt, cqHead);
            if (slot != NOBODY) {
                complete(slot, result);
            }
        }
        space.takeResults(this);
    }

    @Override
    void cancel(int slot) {
        submit(UringLayout.OP_ASYNC_CANCEL | quietFlags, -1, 0, slot, 0, 0, NOBODY);
    }

    @Override
    boolean hasCompletions() {
        return cqTail() != cqHead || space.hasResults();
    }

    @Override
    void closeEngine() {
        space.close();
        Libc.close(state, ring);
        arena.close();
    }

    /** One piece goes without its iovec, which saves the kernel importing it. */
    private void transfer(int single, int vectored, int fd, ScatterList list, long fileOffset, int slot) {
        if (list.count() == 1) {
            submit(single, fd, fileOffset, list.memory(0).address() + list.offset(0), (int) list.length(0), 0, slot);
        } else {
            submit(vectored, fd, fileOffset, list.iovecAddress(), list.count(), 0, slot);
        }
    }

    private void submit(int opcode, int fd, long offset, long address, int length, int opFlags, int slot) {
        if (pendingEntries() > sqMask) {
            enter(0);
        }
        long at = (long) (sqTail & sqMask) * UringLayout.SQE_BYTES;
        sqes.set(INT, at + UringLayout.SQE_OPCODE, opcode);
        sqes.set(INT, at + UringLayout.SQE_FD, fd);
        sqes.set(LONG, at + UringLayout.SQE_OFF, offset);
        sqes.set(LONG, at + UringLayout.SQE_ADDR, address);
        sqes.set(INT, at + UringLayout.SQE_LEN, length);
        sqes.set(INT, at + UringLayout.SQE_OP_FLAGS, opFlags);
        sqes.set(LONG, at + UringLayout.SQE_USER_DATA, slot);
        sqTail++;
    }

    private int pendingEntries() {
        return sqTail - (int) INT_AT.getAcquire(rings, sqHeadAt);
    }

    private void enter(int minComplete) {
        // Release: the entries before the tail that publishes them.
        INT_AT.setRelease(rings, sqTailAt, sqTail);
        int toSubmit = sqTail - sqSubmitted;
        long result = Libc.ioUringEnter(state, ring, toSubmit, minComplete, UringLayout.ENTER_GETEVENTS);
        if (result >= 0) {
            sqSubmitted += (int) result;
        } else if (result != -Errno.EINTR.number()
                && result != -Errno.EAGAIN.number()
                && result != -Errno.EBUSY.number()) {
            // EBUSY and EAGAIN: reap first, the next turn submits the rest.
            throw new IllegalStateException("io_uring_enter: errno " + -result);
        }
    }

    private int cqTail() {
        return (int) INT_AT.getAcquire(rings, cqTailAt);
    }

    private long setUp(MemorySegment params, int flags) {
        params.fill((byte) 0);
        params.set(INT, UringLayout.PARAMS_FLAGS, flags);
        params.set(INT, UringLayout.PARAMS_CQ_ENTRIES, CQ_ENTRIES);
        return Libc.ioUringSetup(state, SQ_ENTRIES, params);
    }

    private void mapRings(MemorySegment params) throws XenException {
        int sqEntries = params.get(INT, UringLayout.PARAMS_SQ_ENTRIES);
        int cqEntries = params.get(INT, UringLayout.PARAMS_CQ_ENTRIES);
        long arrayAt = offset(params, UringLayout.SQ_OFF, UringLayout.SQ_OFF_ARRAY);
        cqesAt = offset(params, UringLayout.CQ_OFF, UringLayout.CQ_OFF_CQES);
        long ringBytes = Math.max(arrayAt + 4L * sqEntries, cqesAt + (long) UringLayout.CQE_BYTES * cqEntries);
        rings = Mapping.mapPopulated(arena, ring, UringLayout.MMAP_SQ_RING, ringBytes);
        sqes = Mapping.mapPopulated(arena, ring, UringLayout.MMAP_SQES, (long) UringLayout.SQE_BYTES * sqEntries);
        sqHeadAt = offset(params, UringLayout.SQ_OFF, UringLayout.SQ_OFF_HEAD);
        sqTailAt = offset(params, UringLayout.SQ_OFF, UringLayout.SQ_OFF_TAIL);
        sqMask = rings.get(INT, offset(params, UringLayout.SQ_OFF, UringLayout.SQ_OFF_MASK));
        cqHeadAt = offset(params, UringLayout.CQ_OFF, UringLayout.CQ_OFF_HEAD);
        cqTailAt = offset(params, UringLayout.CQ_OFF, UringLayout.CQ_OFF_TAIL);
        cqMask = rings.get(INT, offset(params, UringLayout.CQ_OFF, UringLayout.CQ_OFF_MASK));
        for (int i = 0; i < sqEntries; i++) {
            rings.set(INT, arrayAt + 4L * i, i); // cell i of the ring is always entry i
        }
    }

    private static long offset(MemorySegment params, int group, int field) {
        return Integer.toUnsignedLong(params.get(INT, group + field));
    }

    /** A {@code struct msghdr} per slot that ever sent, which the kernel reads until the operation ends. */
    private static final class SendHeaders {
        private static final int CHUNK_SLOTS = 64;

        private final Arena arena;
        private @Nullable MemorySegment[] chunks = new MemorySegment[1];

        SendHeaders(Arena arena) {
            this.arena = arena;
        }

        long fill(int slot, ScatterList from) {
            int chunk = slot / CHUNK_SLOTS;
            if (chunk >= chunks.length) {
                chunks = java.util.Arrays.copyOf(chunks, chunk + 1);
            }
            MemorySegment headers = chunks[chunk];
            if (headers == null) {
                headers = arena.allocate((long) UringLayout.MSGHDR_BYTES * CHUNK_SLOTS, 8);
                chunks[chunk] = headers;
            }
            long at = (long) UringLayout.MSGHDR_BYTES * (slot % CHUNK_SLOTS);
            headers.set(LONG, at + UringLayout.MSGHDR_IOV, from.iovecAddress());
            headers.set(LONG, at + UringLayout.MSGHDR_IOVLEN, from.count());
            return headers.address() + at;
        }
    }
}
