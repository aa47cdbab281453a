package xenback.net.link;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HexFormat;
import xenback.net.packet.FrameHeaders;
import xenback.net.packet.Frames;

/** Frames behind their headers, in native memory as a link gets them. */
final class LinkFrames {
    /** Ethernet, IPv4 and TCP with its options, of {@link Frames#XNB_TCP}. */
    static final int TCP_HEADERS = 66;

    private LinkFrames() {}

    static MemorySegment of(byte[] frame, int flags, int gsoType, int gsoSize) {
        MemorySegment memory = Arena.ofAuto().allocate(VnetHeader.BYTES + (long) frame.length, 64);
        VnetHeader.put(memory, 0, flags, gsoType, 0, gsoSize, 0, 0);
        memory.asSlice(VnetHeader.BYTES).copyFrom(MemorySegment.ofArray(frame));
        return memory;
    }

    static MemorySegment of(String hex, int flags) {
        return of(Frames.bytes(hex), flags, VnetHeader.GSO_NONE, 0);
    }

    /** A TCP frame with a payload that counts up, and zero where its checksum belongs. */
    static byte[] tcp(int payloadBytes) {
        byte[] frame = java.util.Arrays.copyOf(Frames.bytes(Frames.XNB_TCP), TCP_HEADERS + payloadBytes);
        for (int i = 0; i < payloadBytes; i++) {
            frame[TCP_HEADERS + i] = (byte) i;
        }
        MemorySegment memory = MemorySegment.ofArray(frame);
        Frames.put16(memory, 16, TCP_HEADERS - FrameHeaders.ETHERNET_BYTES + payloadBytes);
        Frames.put16(memory, 50, 0);
        return frame;
    }

    /** Takes the next frame of a queue without its header, in hexadecimal; empty if there is none. */
    static String receive(LinkQueue queue) {
        MemorySegment memory = Arena.ofAuto().allocate(VnetHeader.BYTES + 65536L, 64);
        int bytes = queue.receive(memory, 0, (int) memory.byteSize());
        return bytes < 0
                ? ""
                : HexFormat.of()
                        .formatHex(memory.asSlice(VnetHeader.BYTES, bytes - VnetHeader.BYTES)
                                .toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
    }

    static int send(LinkQueue queue, MemorySegment frame) {
        return queue.send(frame, 0, (int) frame.byteSize());
    }
}
