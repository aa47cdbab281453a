package xenback.block.nbd;

import static xenback.block.nbd.NbdBuffer.HEADER_ROOM;

import java.lang.foreign.MemorySegment;

/**
 * The bytes a connection has received and not yet taken, in one large buffer. Payloads of writes are used where they lie:
 * each holds a reference, and the buffer is rewound once nobody but the inbox holds it. When one fills up meanwhile, the
 * inbox goes on in another. The loop's thread alone.
 */
final class NbdInbox {
    /** Received at most at once; about what a unix socket queues (net.core.wmem_max), twice. */
    static final int BUFFER_BYTES = 512 << 10;

    /** With less room than this a receive would bring too little to be worth its system call. */
    private static final int SMALL_ROOM = 64 << 10;

    private NbdBuffer buffer;
    private int from;
    private int to;

    NbdInbox(NbdBuffer buffer) {
        this.buffer = buffer;
    }

    NbdBuffer buffer() {
        return buffer;
    }

    MemorySegment memory() {
        return buffer.memory;
    }

    /** Where in {@link #memory} the next byte to take lies. */
    long fromOffset() {
        return (long) HEADER_ROOM + from;
    }

    /** Where in {@link #memory} the next received byte goes. */
    long toOffset() {
        return (long) HEADER_ROOM + to;
    }

    int available() {
        return to - from;
    }

    int room() {
        return BUFFER_BYTES - to;
    }

    /** True if so many bytes from {@link #fromOffset} on fit, received or not. */
    boolean holds(long bytes) {
        return from + bytes <= BUFFER_BYTES;
    }

    void received(int bytes) {
        to += bytes;
    }

    void took(int bytes) {
        from += bytes;
    }

    /** Drops up to so many bytes; returns how many. */
    int drop(long bytes) {
        int dropped = (int) Math.min(bytes, available());
        from += dropped;
        return dropped;
    }

    /**
     * Makes room at the end where that needs no other buffer: true if a receive is worth it.
     *
     * @param neededBytes what a message begun here takes in all, if known; {@link #holds} said yes to it
     */
    boolean makeRoom(int neededBytes) {
        if (from == to && buffer.references == 1) {
            from = 0;
            to = 0;
        } else if (room() < SMALL_ROOM && neededBytes <= available()) {
            if (buffer.references > 1) {
                return false;
            }
            MemorySegment.copy(memory(), fromOffset(), memory(), HEADER_ROOM, available());
            to -= from;
            from = 0;
        }
        return room() > 0;
    }

    /** Goes on in {@code next}, which gets what is left here. Returns the old buffer, whose reference is the caller's now. */
    NbdBuffer moveTo(NbdBuffer next) {
        NbdBuffer old = buffer;
        MemorySegment.copy(old.memory, fromOffset(), next.memory, HEADER_ROOM, available());
        to -= from;
        from = 0;
        buffer = next;
        return old;
    }
}
