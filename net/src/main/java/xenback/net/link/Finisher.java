package xenback.net.link;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.net.packet.Checksums;
import xenback.net.packet.FrameHeaders;
import xenback.net.packet.Segmenter;
import xenback.xen.Errno;
import xenback.xen.io.Tap;

/**
 * Does in software what a frame's sender has left undone, for a receiver without offload: fills in checksums, and cuts large
 * TCP frames. One thread; nothing is allocated per frame.
 */
final class Finisher {
    /** Segments of one frame: what the largest gives with the least MSS that TCP knows (RFC 879 has 536, Linux 88). */
    private static final int MOST_SEGMENTS = 1024;

    /** Where finished frames go. */
    @FunctionalInterface
    interface Sink {
        /** Takes a frame behind its header; the memory is the caller's. Returns false if it is lost. */
        boolean take(MemorySegment memory, long offset, int bytes);
    }

    private final MemorySegment scratch =
            Arena.ofAuto().allocate(VnetHeader.BYTES + 65536 + FrameHeaders.ETHERNET_BYTES, 64);
    private final FrameHeaders headers = new FrameHeaders();
    private final Segmenter segmenter = new Segmenter();

    /** True if the frame can go as it is to a receiver that takes {@code offload}, a mask of {@link Tap}'s OFFLOAD_ bits. */
    static boolean isFinishedFor(int offload, MemorySegment memory, long offset) {
        int flags = VnetHeader.flags(memory, offset);
        boolean sums = (flags & VnetHeader.NEEDS_CSUM) == 0 || (offload & Tap.OFFLOAD_CHECKSUM) != 0;
        return sums
                && switch (VnetHeader.gsoType(memory, offset)) {
                    case VnetHeader.GSO_NONE -> true;
                    case VnetHeader.GSO_TCPV4 -> (offload & Tap.OFFLOAD_TSO4) != 0;
                    case VnetHeader.GSO_TCPV6 -> (offload & Tap.OFFLOAD_TSO6) != 0;
                    default -> false;
                };
    }

    /**
     * Gives {@code sink} the frame, finished; the frame itself stays as it is.
     *
     * @param bytes header and frame
     * @return {@code bytes}, or a negative errno: EINVAL if it cannot be finished, EAGAIN if the sink lost a part
     */
    int finish(MemorySegment memory, long offset, int bytes, Sink sink) {
        if (VnetHeader.gsoType(memory, offset) != VnetHeader.GSO_NONE) {
            return segment(memory, offset, bytes, sink);
        }
        if ((VnetHeader.flags(memory, offset) & VnetHeader.NEEDS_CSUM) == 0) {
            return sink.take(memory, offset, bytes) ? bytes : -Errno.EAGAIN.number();
        }
        if (bytes > scratch.byteSize()) {
            return -Errno.EINVAL.number();
        }
        MemorySegment.copy(memory, offset, scratch, 0, bytes);
        headers.parse(scratch, VnetHeader.BYTES, bytes - VnetHeader.BYTES);
        if (!Checksums.complete(scratch, VnetHeader.BYTES, headers)) {
            return -Errno.EINVAL.number();
        }
        VnetHeader.put(scratch, 0, 0);
        return sink.take(scratch, 0, bytes) ? bytes : -Errno.EAGAIN.number();
    }

    private int segment(MemorySegment memory, long offset, int bytes, Sink sink) {
        long frame = offset + VnetHeader.BYTES;
        int length = bytes - VnetHeader.BYTES;
        headers.parse(memory, frame, length);
        int count = segmenter.begin(memory, frame, length, headers, VnetHeader.gsoSize(memory, offset));
        if (count == 0 || count > MOST_SEGMENTS) {
            return -Errno.EINVAL.number();
        }
        VnetHeader.put(scratch, 0, 0);
        boolean all = true;
        for (int i = 0; i < count; i++) {
            int segmentBytes = segmenter.next(scratch, VnetHeader.BYTES);
            all &= sink.take(scratch, 0, VnetHeader.BYTES + segmentBytes);
        }
        return all ? bytes : -Errno.EAGAIN.number();
    }
}
