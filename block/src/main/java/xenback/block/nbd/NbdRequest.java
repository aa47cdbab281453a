package xenback.block.nbd;

import static xenback.block.nbd.NbdProtocol.U16;
import static xenback.block.nbd.NbdProtocol.U32;
import static xenback.block.nbd.NbdProtocol.U64;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import xenback.xen.io.ScatterList;

/**
 * One request of a connection from its header's arrival until its reply has left. A connection owns a fixed table of
 * them; the number is the tag of every operation. Touched by the loop's thread alone.
 */
final class NbdRequest {
    /** Place in the connection's table. */
    final int number;

    /** What the disk reads into or writes from: one piece. */
    final ScatterList memory;

    int command;
    int flags;

    /** The client's name for the request, returned as it came. */
    long cookie;

    long offsetBytes;
    long lengthBytes;

    /** Payload of a write, data of a read, or descriptors of a block status; released as soon as it is of no use. */
    @Nullable
    NbdBuffer buffer;

    /** True while the flush of a FUA request runs. */
    boolean flushing;

    /** The NBD error value of the reply. */
    int error;

    /** Bytes after the reply's header. */
    long replyPayloadBytes;

    /** Bytes of the reply's header. */
    int replyHeaderBytes;

    NbdRequest(int number, Arena arena) {
        this.number = number;
        memory = new ScatterList(1, arena);
    }

    /** Copies the header at {@code at} out of received bytes, so that each field is read once; false if it is none. */
    boolean decode(MemorySegment received, long at) {
        flags = Short.toUnsignedInt(received.get(U16, at + NbdProtocol.REQUEST_FLAGS));
        command = Short.toUnsignedInt(received.get(U16, at + NbdProtocol.REQUEST_TYPE));
        cookie = received.get(U64, at + NbdProtocol.REQUEST_COOKIE);
        offsetBytes = received.get(U64, at + NbdProtocol.REQUEST_OFFSET);
        lengthBytes = Integer.toUnsignedLong(received.get(U32, at + NbdProtocol.REQUEST_LENGTH));
        return received.get(U32, at) == NbdProtocol.REQUEST_MAGIC;
    }

    /** True if this request changes the disk. */
    boolean modifies() {
        return command == NbdProtocol.CMD_WRITE
                || command == NbdProtocol.CMD_TRIM
                || command == NbdProtocol.CMD_WRITE_ZEROES;
    }

    boolean fua() {
        return (flags & NbdProtocol.CMD_FLAG_FUA) != 0;
    }
}
