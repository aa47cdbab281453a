package xenback.block.nbd;

import static java.util.Objects.requireNonNull;
import static xenback.block.nbd.NbdProtocol.U32;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import xenback.block.disk.Disk;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/**
 * Answers the block status requests of one connection. A disk may block over the question, so that it is put on a virtual
 * thread, one request at a time: a client that asks 256 times occupies one thread. All methods are for the loop's thread.
 */
final class NbdExtents {
    /** The number by which replies name base:allocation; any would do. */
    static final int CONTEXT_ID = 1;

    /** Descriptors in one reply; the client asks again for the rest ("NBD_CMD_BLOCK_STATUS"). */
    static final int MAX_DESCRIPTORS = 1024;

    /** The chunk's payload before the descriptors: the context. */
    static final int CONTEXT_BYTES = 4;

    /** Length 32, status 32. */
    static final int DESCRIPTOR_BYTES = 8;

    /** Payload that a reply's buffer must hold, without the context, which goes into the header room. */
    static final int REPLY_BYTES = MAX_DESCRIPTORS * DESCRIPTOR_BYTES;

    /** Questions to the disk for one reply, so that a disk of many small like extents is not asked for ever. */
    private static final int MAX_QUESTIONS = 8 * MAX_DESCRIPTORS;

    private final Disk disk;
    private final EventLoop loop;
    private final Completion done;
    private final ArrayDeque<NbdRequest> waiting = new ArrayDeque<>();
    private boolean asking;

    /** @param done told with the request's number and the count of descriptors, or a negative errno */
    NbdExtents(Disk disk, EventLoop loop, Completion done) {
        this.disk = disk;
        this.loop = loop;
        this.done = done;
    }

    /** Queues a request that has a buffer of {@link #REPLY_BYTES}; the buffer is ours until it is done. */
    void ask(NbdRequest request) {
        waiting.add(request);
        if (!asking) {
            askNext();
        }
    }

    private void askNext() {
        NbdRequest request = waiting.poll();
        asking = request != null;
        if (request == null) {
            return;
        }
        MemorySegment descriptors = requireNonNull(request.buffer).memory.asSlice(NbdBuffer.HEADER_ROOM, REPLY_BYTES);
        boolean one = (request.flags & NbdProtocol.CMD_FLAG_REQ_ONE) != 0;
        long offsetBytes = request.offsetBytes;
        long lengthBytes = request.lengthBytes;
        int number = request.number;
        Thread.ofVirtual().name("nbd-extents").start(() -> {
            int result = -NbdProtocol.EIO; // stays so if the disk throws what it may not: the connection must not hang
            try {
                result = describe(disk, offsetBytes, lengthBytes, one ? 1 : MAX_DESCRIPTORS, descriptors);
            } finally {
                int outcome = result;
                loop.execute(() -> {
                    done.onCompletion(number, outcome);
                    askNext();
                });
            }
        });
    }

    /**
     * Writes descriptors of a range and returns how many, or a negative errno if not even the first is known. Neighbours
     * of one kind become one descriptor.
     */
    static int describe(Disk disk, long offsetBytes, long lengthBytes, int maxDescriptors, MemorySegment into) {
        int count = 0;
        long at = 0;
        long extentStart = 0;
        boolean extentIsHole = false;
        for (int question = 0; at < lengthBytes && question < MAX_QUESTIONS; question++) {
            long extent;
            try {
                extent = disk.nextExtent(offsetBytes + at, lengthBytes - at);
            } catch (XenException e) {
                if (at == 0) {
                    return e.errno() == Errno.UNKNOWN
                            ? -NbdProtocol.EIO
                            : -e.errno().number();
                }
                break;
            }
            boolean hole = extent < 0;
            if (at > extentStart && hole != extentIsHole) {
                store(into, count++, at - extentStart, extentIsHole);
                extentStart = at;
                if (count == maxDescriptors) {
                    return count;
                }
            }
            extentIsHole = hole;
            at += Math.clamp(Math.abs(extent), 1, lengthBytes - at);
        }
        store(into, count++, at - extentStart, extentIsHole);
        return count;
    }

    private static void store(MemorySegment into, int index, long lengthBytes, boolean hole) {
        long at = (long) index * DESCRIPTOR_BYTES;
        into.set(U32, at, (int) lengthBytes); // under 2^32, as the request's length is
        into.set(U32, at + 4, hole ? NbdProtocol.STATE_HOLE | NbdProtocol.STATE_ZERO : 0);
    }
}
