package xenback.daemon;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** What went by in a pcapng stream that our own side wrote: counts blocks of frames, and adds up what the statistics at the end say. */
final class CaptureSummary {
    private static final int INTERFACE_STATISTICS = 5;
    private static final int ENHANCED_PACKET = 6;

    /** Of a statistics block: where the count of dropped frames is (interface, time, the option of what was received). */
    private static final int DROPPED_AT = 36;

    private static final int KEPT_BYTES = DROPPED_AT + Long.BYTES;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** The beginning of the block that is under way. */
    private final MemorySegment begun = MemorySegment.ofArray(new byte[KEPT_BYTES]);

    private long seen; // bytes of that block
    private long frames;
    private long dropped;

    /** The next bytes of the stream. */
    void add(byte[] chunk, int bytes) {
        int at = 0;
        while (at < bytes) {
            if (seen < 8) {
                begun.set(ValueLayout.JAVA_BYTE, seen++, chunk[at++]);
                continue;
            }
            long blockBytes = Integer.toUnsignedLong(begun.get(INT, 4));
            int part = (int) Math.min(blockBytes - seen, bytes - at);
            if (seen < KEPT_BYTES) {
                int kept = (int) Math.min(part, KEPT_BYTES - seen);
                MemorySegment.copy(chunk, at, begun, ValueLayout.JAVA_BYTE, seen, kept);
            }
            seen += part;
            at += part;
            if (seen >= blockBytes) {
                count();
                seen = 0;
            }
        }
    }

    private void count() {
        int type = begun.get(INT, 0);
        if (type == ENHANCED_PACKET) {
            frames++;
        } else if (type == INTERFACE_STATISTICS) {
            dropped += begun.get(LONG, DROPPED_AT);
        }
    }

    long frames() {
        return frames;
    }

    long dropped() {
        return dropped;
    }
}
