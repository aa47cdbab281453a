package xenback.block.protocol;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Responses, both ends. */
public final class BlkifResponse {
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    private BlkifResponse() {}

    /** Writes a response; every byte of it, padding too, for a hole would show the guest our memory (XSA-216). */
    public static void encode(MemorySegment target, BlkifLayout layout, long id, int operation, short status) {
        if (layout.responseBytes() > 12) {
            target.set(ValueLayout.JAVA_INT_UNALIGNED, 12, 0);
        }
        target.set(LONG, BlkifLayout.RESPONSE_ID_AT, id);
        target.set(ValueLayout.JAVA_BYTE, BlkifLayout.RESPONSE_OPERATION_AT, (byte) operation);
        target.set(ValueLayout.JAVA_BYTE, BlkifLayout.RESPONSE_OPERATION_AT + 1, (byte) 0);
        target.set(ValueLayout.JAVA_SHORT_UNALIGNED, BlkifLayout.RESPONSE_STATUS_AT, status);
    }

    public static long id(MemorySegment copy) {
        return copy.get(LONG, BlkifLayout.RESPONSE_ID_AT);
    }

    public static short status(MemorySegment copy) {
        return copy.get(ValueLayout.JAVA_SHORT_UNALIGNED, BlkifLayout.RESPONSE_STATUS_AT);
    }
}
