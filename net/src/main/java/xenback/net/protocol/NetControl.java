package xenback.net.protocol;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Slots of the control ring and of the lists that its messages name (xen io/netif.h, "Control ring"; messages 8 to 10 after
 * docs/misc/netif-staging-grants), little-endian:
 *
 * <pre>
 *   request   id u16 @0   type u16 @2   data u32[3] @4
 *   response  id u16 @0   type u16 @2   status u32 @4   data u32 @8
 *   grant     gref u32 @0   flags u16 @4 (1: read-only)   status u16 @6
 * </pre>
 */
public final class NetControl {
    /** Bytes of a slot, the larger of request and response. */
    public static final int SLOT_BYTES = 16;

    public static final int RESPONSE_BYTES = 12;

    /** Bytes of a grant in a list. */
    public static final int GRANT_BYTES = 8;

    public static final int GRANT_READ_ONLY = 1;

    public static final int GET_HASH_FLAGS = 1;
    public static final int SET_HASH_FLAGS = 2;
    public static final int SET_HASH_KEY = 3;
    public static final int GET_HASH_MAPPING_SIZE = 4;
    public static final int SET_HASH_MAPPING_SIZE = 5;
    public static final int SET_HASH_MAPPING = 6;
    public static final int SET_HASH_ALGORITHM = 7;
    public static final int GET_GREF_MAPPING_SIZE = 8;
    public static final int ADD_GREF_MAPPING = 9;
    public static final int DEL_GREF_MAPPING = 10;

    public static final int STATUS_SUCCESS = 0;
    public static final int STATUS_NOT_SUPPORTED = 1;
    public static final int STATUS_INVALID_PARAMETER = 2;
    public static final int STATUS_BUFFER_OVERFLOW = 3;

    public static final int ALGORITHM_NONE = 0;
    public static final int ALGORITHM_TOEPLITZ = 1;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;

    private NetControl() {}

    /** A message, as the frontend wrote it; {@code a}, {@code b} and {@code c} are its data. */
    public record Message(short id, int type, int a, int b, int c) {
        public static Message read(MemorySegment slot) {
            return new Message(
                    slot.get(SHORT, 0),
                    Short.toUnsignedInt(slot.get(SHORT, 2)),
                    slot.get(INT, 4),
                    slot.get(INT, 8),
                    slot.get(INT, 12));
        }

        public void write(MemorySegment slot) {
            slot.set(SHORT, 0, id);
            slot.set(SHORT, 2, (short) type);
            slot.set(INT, 4, a);
            slot.set(INT, 8, b);
            slot.set(INT, 12, c);
        }
    }

    /** What the backend says to a message. */
    public record Answer(int status, int data) {
        public static final Answer SUCCESS = new Answer(STATUS_SUCCESS, 0);
        public static final Answer NOT_SUPPORTED = new Answer(STATUS_NOT_SUPPORTED, 0);
        public static final Answer INVALID = new Answer(STATUS_INVALID_PARAMETER, 0);
        public static final Answer OVERFLOW = new Answer(STATUS_BUFFER_OVERFLOW, 0);

        public static Answer of(int data) {
            return new Answer(STATUS_SUCCESS, data);
        }

        public static Answer read(MemorySegment slot) {
            return new Answer(slot.get(INT, 4), slot.get(INT, 8));
        }

        /** As the response to a message; what is left of the request behind it is the frontend's own (XSA-216). */
        public void write(MemorySegment slot, Message message) {
            slot.set(SHORT, 0, message.id());
            slot.set(SHORT, 2, (short) message.type());
            slot.set(INT, 4, status);
            slot.set(INT, 8, data);
        }
    }

    public static int gref(MemorySegment list, int index) {
        return list.get(INT, (long) index * GRANT_BYTES);
    }

    public static boolean readOnly(MemorySegment list, int index) {
        return (list.get(SHORT, (long) index * GRANT_BYTES + 4) & GRANT_READ_ONLY) != 0;
    }

    public static int status(MemorySegment list, int index) {
        return Short.toUnsignedInt(list.get(SHORT, (long) index * GRANT_BYTES + 6));
    }

    public static void putGrant(MemorySegment list, int index, int gref, boolean readOnly) {
        long at = (long) index * GRANT_BYTES;
        list.set(INT, at, gref);
        list.set(SHORT, at + 4, (short) (readOnly ? GRANT_READ_ONLY : 0));
        list.set(SHORT, at + 6, (short) 0);
    }

    public static void putStatus(MemorySegment list, int index, int status) {
        list.set(SHORT, (long) index * GRANT_BYTES + 6, (short) status);
    }
}
