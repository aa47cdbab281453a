package xenback.net.link;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, as pure functions on memory. A block is
 *
 * <pre>
 *   type u32   bytes of the block u32   body, a multiple of 4   bytes of the block u32
 * </pre>
 *
 * and an option of a block {@code code u16, bytes u16, value, up to a multiple of 4}. A packet's comments tell what pcapng has
 * no field for: {@code checksum blank} (the field holds the pseudo-header's sum), {@code checksum validated} (by the sender,
 * not by us) and {@code gso tcpv4 1448}.
 */
final class Pcapng {
    /** A frame that came into this machine: from the guest, for a backend's interface. */
    static final int INBOUND = 1;

    static final int OUTBOUND = 2;

    private static final int SECTION_HEADER = 0x0A0D0D0A;
    private static final int INTERFACE_DESCRIPTION = 1;
    private static final int INTERFACE_STATISTICS = 5;
    private static final int ENHANCED_PACKET = 6;
    private static final int BYTE_ORDER_MAGIC = 0x1A2B3C4D;
    private static final short LINKTYPE_ETHERNET = 1;

    // Codes of options; 2 to 9 mean something else in each kind of block.
    private static final int END_OF_OPTIONS = 0;
    private static final int COMMENT = 1;
    private static final int SHB_USER_APPLICATION = 4;
    private static final int IF_NAME = 2;
    private static final int IF_TIME_RESOLUTION = 9;
    private static final int EPB_FLAGS = 2;
    private static final int ISB_RECEIVED = 4;
    private static final int ISB_DROPPED = 5;

    private static final byte NANOSECONDS = 9; // 10^-9 s
    private static final int PACKET_HEADER_BYTES = 28;
    private static final byte[] BLANK = ascii("checksum blank");
    private static final byte[] VALIDATED = ascii("checksum validated");
    private static final byte[] GSO_TCPV4 = ascii("gso tcpv4 ");
    private static final byte[] GSO_TCPV6 = ascii("gso tcpv6 ");
    private static final byte[] GSO_OTHER = ascii("gso other ");

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private Pcapng() {}

    /** The block at a file's beginning. Returns where it ends. */
    static long putSectionHeader(MemorySegment memory, long at) {
        memory.set(INT, at + 8, BYTE_ORDER_MAGIC);
        memory.set(INT, at + 12, 1); // version 1.0: major u16, minor u16
        memory.set(LONG, at + 16, -1L); // the section's length is not known
        return end(memory, at, SECTION_HEADER, putOption(memory, at + 24, SHB_USER_APPLICATION, ascii("xenback")));
    }

    /** The block of an interface; the first one is number 0. The name is cut after 255 characters. */
    static long putInterface(MemorySegment memory, long at, String name) {
        memory.set(SHORT, at + 8, LINKTYPE_ETHERNET);
        memory.set(SHORT, at + 10, (short) 0);
        memory.set(INT, at + 12, 0); // frames are kept whole
        String cut = name.substring(0, Math.min(255, name.length()));
        long option = putOption(memory, at + 16, IF_NAME, ascii(cut));
        return end(
                memory, at, INTERFACE_DESCRIPTION, putOption(memory, option, IF_TIME_RESOLUTION, new byte[] {NANOSECONDS
                }));
    }

    /** The block that tells at the end what an interface missed. */
    static long putStatistics(MemorySegment memory, long at, int number, long nanos, long received, long dropped) {
        memory.set(INT, at + 8, number);
        putTime(memory, at + 12, nanos);
        long option = putLong(memory, at + 20, ISB_RECEIVED, received);
        return end(memory, at, INTERFACE_STATISTICS, putLong(memory, option, ISB_DROPPED, dropped));
    }

    /** How many bytes the block of a frame takes. No allocation. */
    static int packetBytes(MemorySegment frame, long header, int frameBytes) {
        int options = 8 + 4; // the flags, the end
        int flags = VnetHeader.flags(frame, header);
        if ((flags & VnetHeader.NEEDS_CSUM) != 0) {
            options += optionBytes(BLANK.length);
        } else if ((flags & VnetHeader.DATA_VALID) != 0) {
            options += optionBytes(VALIDATED.length);
        }
        if (VnetHeader.gsoType(frame, header) != VnetHeader.GSO_NONE) {
            options += optionBytes(GSO_TCPV4.length + digits(VnetHeader.gsoSize(frame, header)));
        }
        return PACKET_HEADER_BYTES + aligned(frameBytes) + options + 4;
    }

    /**
     * Writes the block of a frame, {@link #packetBytes} long. No allocation.
     *
     * @param frame has a {@link VnetHeader} at {@code header}, and behind it the frame
     * @param nanos since 1970
     */
    static void putPacket(
            MemorySegment memory,
            long at,
            int number,
            int way,
            long nanos,
            MemorySegment frame,
            long header,
            int bytes) {
        memory.set(INT, at + 8, number);
        putTime(memory, at + 12, nanos);
        memory.set(INT, at + 20, bytes);
        memory.set(INT, at + 24, bytes);
        memory.set(INT, at + PACKET_HEADER_BYTES + aligned(bytes) - 4, 0); // what fills up, unless overwritten
        MemorySegment.copy(frame, header + VnetHeader.BYTES, memory, at + PACKET_HEADER_BYTES, bytes);
        long option = at + PACKET_HEADER_BYTES + aligned(bytes);
        memory.set(SHORT, option, (short) EPB_FLAGS);
        memory.set(SHORT, option + 2, (short) 4);
        memory.set(INT, option + 4, way);
        option += 8;
        int flags = VnetHeader.flags(frame, header);
        if ((flags & VnetHeader.NEEDS_CSUM) != 0) {
            option = putOption(memory, option, COMMENT, BLANK);
        } else if ((flags & VnetHeader.DATA_VALID) != 0) {
            option = putOption(memory, option, COMMENT, VALIDATED);
        }
        int gso = VnetHeader.gsoType(frame, header);
        if (gso != VnetHeader.GSO_NONE) {
            option = putGso(memory, option, gso, VnetHeader.gsoSize(frame, header));
        }
        end(memory, at, ENHANCED_PACKET, option);
    }

    private static long putGso(MemorySegment memory, long option, int gso, int size) {
        byte[] words = switch (gso) {
            case VnetHeader.GSO_TCPV4 -> GSO_TCPV4;
            case VnetHeader.GSO_TCPV6 -> GSO_TCPV6;
            default -> GSO_OTHER;
        };
        int digits = digits(size);
        int bytes = words.length + digits;
        long end = putOption(memory, option, COMMENT, words, bytes);
        int rest = size;
        for (int i = digits - 1; i >= 0; i--) {
            memory.set(BYTE, option + 4 + words.length + i, (byte) ('0' + rest % 10));
            rest /= 10;
        }
        return end;
    }

    private static long putOption(MemorySegment memory, long at, int code, byte[] value) {
        return putOption(memory, at, code, value, value.length);
    }

    /** An option of {@code bytes} bytes that begins with {@code value}. */
    private static long putOption(MemorySegment memory, long at, int code, byte[] value, int bytes) {
        long end = at + optionBytes(bytes);
        memory.set(INT, end - 4, 0);
        memory.set(SHORT, at, (short) code);
        memory.set(SHORT, at + 2, (short) bytes);
        MemorySegment.copy(value, 0, memory, BYTE, at + 4, value.length);
        return end;
    }

    private static long putLong(MemorySegment memory, long at, int code, long value) {
        memory.set(SHORT, at, (short) code);
        memory.set(SHORT, at + 2, (short) 8);
        memory.set(LONG, at + 4, value);
        return at + 12;
    }

    private static void putTime(MemorySegment memory, long at, long nanos) {
        memory.set(INT, at, (int) (nanos >>> 32));
        memory.set(INT, at + 4, (int) nanos);
    }

    /** Ends the options and the block, and writes both its lengths. */
    private static long end(MemorySegment memory, long at, int type, long option) {
        memory.set(INT, option, END_OF_OPTIONS);
        int bytes = (int) (option + 8 - at);
        memory.set(INT, at, type);
        memory.set(INT, at + 4, bytes);
        memory.set(INT, option + 4, bytes);
        return option + 8;
    }

    private static int optionBytes(int valueBytes) {
        return 4 + aligned(valueBytes);
    }

    private static int aligned(int bytes) {
        return bytes + 3 & -4;
    }

    private static int digits(int number) {
        int digits = 1;
        for (int rest = number / 10; rest > 0; rest /= 10) {
            digits++;
        }
        return digits;
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }
}
