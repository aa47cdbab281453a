package xenback.block.nbd;

import static xenback.block.nbd.NbdProtocol.U16;
import static xenback.block.nbd.NbdProtocol.U32;
import static xenback.block.nbd.NbdProtocol.U64;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The replies to one option, written one after the other into memory that its owner sized for the longest. */
final class NbdOptionReplies {
    private final MemorySegment output;
    private int length;

    NbdOptionReplies(MemorySegment output) {
        this.output = output;
    }

    void clear() {
        length = 0;
    }

    int length() {
        return length;
    }

    /** Starts a reply whose data follows. */
    void header(int option, int reply, int dataBytes) {
        u64(NbdProtocol.OPTION_REPLY_MAGIC);
        u32(option);
        u32(reply);
        u32(dataBytes);
    }

    /** An NBD_REP_INFO that consists of words. */
    void info(int option, int kind, byte[] words) {
        header(option, NbdProtocol.REP_INFO, 2 + words.length);
        u16(kind);
        bytes(words);
    }

    void u16(int value) {
        output.set(U16, length, (short) value);
        length += 2;
    }

    void u32(int value) {
        output.set(U32, length, value);
        length += 4;
    }

    void u64(long value) {
        output.set(U64, length, value);
        length += 8;
    }

    void bytes(byte[] octets) {
        MemorySegment.copy(octets, 0, output, ValueLayout.JAVA_BYTE, length, octets.length);
        length += octets.length;
    }

    void zeroes(int count) {
        output.asSlice(length, count).fill((byte) 0);
        length += count;
    }
}
