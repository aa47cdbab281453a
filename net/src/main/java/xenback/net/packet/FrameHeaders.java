package xenback.net.packet;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * What stands where in one frame: VLAN tags, IPv4 with options or IPv6 with extension headers, and the transport header. One
 * object is filled anew by each {@link #parse}; nothing is allocated, and no bytes make it throw. What is not well-formed is
 * absent, and so is everything behind it.
 *
 * <p>All positions are bytes from the frame's first byte, the destination address; an absent one is -1. The frame must not
 * change between parsing and use: read it from private memory.
 */
public final class FrameHeaders {
    /** Protocols above IP, as far as their headers matter here. */
    public enum L4 {
        /** No IP, a fragment, no next header, or a header that is cut short or malformed. */
        NONE,
        TCP,
        UDP,
        SCTP,
        ICMP,
        ICMPV6,
        /** A protocol that is not looked into. */
        OTHER
    }

    /** Bytes of an Ethernet header without tags. */
    public static final int ETHERNET_BYTES = 14;

    /** The most VLAN tags that are looked behind. */
    public static final int MAX_TAGS = 8;

    /** The most IPv6 extension headers that are looked behind. */
    public static final int MAX_EXTENSIONS = 16;

    public static final int ETHERTYPE_IPV4 = 0x0800;
    public static final int ETHERTYPE_IPV6 = 0x86DD;

    /** TCP flags, RFC 9293 3.1 and RFC 3168 6.1. */
    public static final int TCP_FIN = 0x01;

    public static final int TCP_PSH = 0x08;
    public static final int TCP_CWR = 0x80;

    static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;
    static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    static final int TAG_BYTES = 4;
    private static final int TAG_8021Q = 0x8100;
    private static final int TAG_8021AD = 0x88A8;
    private static final int TAG_QINQ = 0x9100; // before 802.1ad

    private static final int IPV4_BYTES = 20;
    private static final int IPV4_FRAGMENT = 0x3FFF; // offset and more-fragments
    private static final int OPTION_END = 0;
    private static final int OPTION_NOP = 1;
    private static final int OPTION_LOOSE_ROUTE = 131;
    private static final int OPTION_STRICT_ROUTE = 137;

    static final int IPV6_BYTES = 40;
    private static final int IPV6_FRAGMENT = 0xFFF9; // offset and more-fragments
    private static final int HOP_BY_HOP = 0;
    private static final int ROUTING = 43;
    private static final int FRAGMENT = 44;
    private static final int AUTHENTICATION = 51;
    private static final int NO_NEXT_HEADER = 59;
    private static final int DESTINATION_OPTIONS = 60;

    private static final int PROTOCOL_ICMP = 1;
    private static final int PROTOCOL_TCP = 6;
    private static final int PROTOCOL_UDP = 17;
    private static final int PROTOCOL_ICMPV6 = 58;
    private static final int PROTOCOL_SCTP = 132;

    private static final int TCP_BYTES = 20;
    private static final int UDP_BYTES = 8;
    private static final int SCTP_BYTES = 12;
    private static final int ICMP_BYTES = 4;

    private int frameBytes;
    private int etherType;
    private int vlanTags;
    private int ipVersion;
    private int ipOffset;
    private int endOffset;
    private int protocol;
    private int l4Offset;
    private L4 l4 = L4.NONE;
    private boolean fragment;
    private boolean truncated;
    private boolean destinationKnown;
    private int destinationOffset;
    private int headerBytes;
    private int checksumOffset;
    private int checksumBytes;
    private int tcpFlags;

    /** Reads the headers of the frame whose {@code length} bytes are at {@code offset}. False if it is too short for Ethernet. */
    public boolean parse(MemorySegment frame, long offset, int length) {
        clear();
        frameBytes = length;
        if (length < ETHERNET_BYTES) {
            return false;
        }
        int at = ETHERNET_BYTES;
        int type = u16(frame, offset + at - 2);
        while (isTag(type) && vlanTags < MAX_TAGS && length - at >= TAG_BYTES) {
            at += TAG_BYTES;
            type = u16(frame, offset + at - 2);
            vlanTags++;
        }
        etherType = type;
        if (type == ETHERTYPE_IPV4) {
            parseIpv4(frame, offset, at, length);
        } else if (type == ETHERTYPE_IPV6) {
            parseIpv6(frame, offset, at, length);
        }
        return true;
    }

    private void clear() {
        etherType = 0;
        vlanTags = 0;
        ipVersion = 0;
        ipOffset = -1;
        endOffset = -1;
        protocol = -1;
        l4Offset = -1;
        l4 = L4.NONE;
        fragment = false;
        truncated = false;
        destinationKnown = false;
        destinationOffset = -1;
        headerBytes = 0;
        checksumOffset = -1;
        checksumBytes = 0;
        tcpFlags = 0;
    }

    static boolean isTag(int type) {
        return type == TAG_8021Q || type == TAG_8021AD || type == TAG_QINQ;
    }

    private void parseIpv4(MemorySegment frame, long offset, int ip, int length) {
        int room = length - ip;
        if (room < IPV4_BYTES) {
            return;
        }
        int first = u8(frame, offset + ip);
        int header = (first & 15) * 4;
        int total = u16(frame, offset + ip + 2);
        if (first >>> 4 != 4 || header < IPV4_BYTES || header > room || total != 0 && total < header) {
            return;
        }
        // Linux leaves 0 in packets that are larger than the field can say, and others that it means to segment.
        int bytes = total == 0 ? room : total;
        ipVersion = 4;
        ipOffset = ip;
        truncated = bytes > room;
        endOffset = ip + Math.min(bytes, room);
        protocol = u8(frame, offset + ip + 9);
        l4Offset = ip + header;
        destinationKnown = true;
        destinationOffset = ip + 16;
        if (header > IPV4_BYTES) {
            readSourceRoute(frame, offset, ip + IPV4_BYTES);
        }
        if ((u16(frame, offset + ip + 6) & IPV4_FRAGMENT) != 0) {
            fragment = true;
        } else {
            parseL4(frame, offset);
        }
    }

    /** A packet on its way along a source route has its final destination at the route's end, RFC 791 3.1. */
    private void readSourceRoute(MemorySegment frame, long offset, int options) {
        int at = options;
        while (l4Offset - at >= 2) {
            int kind = u8(frame, offset + at);
            if (kind == OPTION_END) {
                return;
            }
            int bytes = kind == OPTION_NOP ? 1 : u8(frame, offset + at + 1);
            if (bytes == 0 || bytes > l4Offset - at || bytes == 1 && kind != OPTION_NOP) {
                return;
            }
            if ((kind == OPTION_LOOSE_ROUTE || kind == OPTION_STRICT_ROUTE) && bytes >= 7) {
                int pointer = u8(frame, offset + at + 2);
                if (pointer >= 4 && pointer + 3 <= bytes) {
                    destinationOffset = at + bytes - 4;
                }
                return;
            }
            at += bytes;
        }
    }

    private void parseIpv6(MemorySegment frame, long offset, int ip, int length) {
        int room = length - ip - IPV6_BYTES;
        if (room < 0 || u8(frame, offset + ip) >>> 4 != 6) {
            return;
        }
        int payload = u16(frame, offset + ip + 4);
        ipVersion = 6;
        ipOffset = ip;
        truncated = payload > room;
        endOffset = ip + IPV6_BYTES + Math.min(payload, room);
        destinationKnown = true;
        destinationOffset = ip + 24;
        int next = u8(frame, offset + ip + 6);
        int at = ip + IPV6_BYTES;
        for (int i = 0; i <= MAX_EXTENSIONS; i++) {
            if (!isExtension(next)) {
                protocol = next;
                l4Offset = at;
                parseL4(frame, offset);
                return;
            }
            if (endOffset - at < 8) {
                return;
            }
            int bytes = extensionBytes(next, u8(frame, offset + at + 1));
            if (bytes > endOffset - at) {
                return;
            }
            if (next == ROUTING) {
                readRoute(frame, offset, at, bytes);
            } else if (next == FRAGMENT && (u16(frame, offset + at + 2) & IPV6_FRAGMENT) != 0) {
                fragment = true;
                protocol = u8(frame, offset + at);
                l4Offset = at + bytes;
                return;
            }
            next = u8(frame, offset + at);
            at += bytes;
        }
    }

    private static boolean isExtension(int next) {
        return next == HOP_BY_HOP
                || next == ROUTING
                || next == FRAGMENT
                || next == AUTHENTICATION
                || next == DESTINATION_OPTIONS;
    }

    private static int extensionBytes(int header, int lengthField) {
        return switch (header) {
            case FRAGMENT -> 8;
            case AUTHENTICATION -> (lengthField + 2) * 4; // RFC 4302 2.2
            default -> (lengthField + 1) * 8;
        };
    }

    /**
     * A packet that has not reached its final destination names that in the routing header, and checksums are made with it, RFC
     * 8200 8.1: types 0 (RFC 2460 4.4), 2 (RFC 6275 6.4) and 4 (RFC 8754 2). Of another type it is not known where.
     */
    private void readRoute(MemorySegment frame, long offset, int at, int bytes) {
        int left = u8(frame, offset + at + 3);
        if (left == 0) {
            return;
        }
        int addresses = (bytes - 8) / 16;
        boolean whole = addresses > 0 && (bytes - 8) % 16 == 0 && left <= addresses;
        destinationKnown = true;
        switch (u8(frame, offset + at + 2)) {
            case 0 -> {
                destinationKnown = whole;
                destinationOffset = at + 8 + 16 * (addresses - 1);
            }
            case 2 -> {
                destinationKnown = whole && addresses == 1;
                destinationOffset = at + 8;
            }
            case 4 -> {
                destinationKnown = addresses > 0;
                destinationOffset = at + 8;
            }
            default -> destinationKnown = false;
        }
    }

    private void parseL4(MemorySegment frame, long offset) {
        int room = endOffset - l4Offset;
        long at = offset + l4Offset;
        switch (protocol) {
            case PROTOCOL_TCP -> {
                int header = room < TCP_BYTES ? 0 : (u8(frame, at + 12) >>> 4) * 4;
                if (header >= TCP_BYTES && header <= room) {
                    tcpFlags = u8(frame, at + 13);
                    headerBytes = l4Offset + header;
                    know(L4.TCP, 16, room, destinationKnown);
                }
            }
            case PROTOCOL_UDP -> {
                if (room >= UDP_BYTES) {
                    headerBytes = l4Offset + UDP_BYTES;
                    int datagram = u16(frame, at + 4);
                    int bytes = datagram == 0 && ipVersion == 6 ? room : datagram; // RFC 2675 4
                    know(L4.UDP, 6, bytes, destinationKnown && bytes >= UDP_BYTES && bytes <= room);
                }
            }
            case PROTOCOL_SCTP -> {
                if (room >= SCTP_BYTES) {
                    know(L4.SCTP, 8, room, true);
                }
            }
            case PROTOCOL_ICMP -> {
                if (ipVersion == 4 && room >= ICMP_BYTES) {
                    know(L4.ICMP, 2, room, true);
                }
            }
            case PROTOCOL_ICMPV6 -> {
                if (ipVersion == 6 && room >= ICMP_BYTES) {
                    know(L4.ICMPV6, 2, room, destinationKnown);
                }
            }
            default -> l4 = protocol == NO_NEXT_HEADER && ipVersion == 6 ? L4.NONE : L4.OTHER;
        }
    }

    private void know(L4 kind, int checksumAt, int covered, boolean computable) {
        l4 = kind;
        if (computable && !truncated) {
            checksumOffset = l4Offset + checksumAt;
            checksumBytes = covered;
        }
    }

    /** The type behind the VLAN tags, host byte order; a length if it is below 0x600. A tag's, if the tag is cut short. */
    public int etherType() {
        return etherType;
    }

    /** How many VLAN tags there are: 802.1Q, 802.1ad, and 0x9100 as used before that. */
    public int vlanTags() {
        return vlanTags;
    }

    /** 4, 6, or 0 without a well-formed IP header. */
    public int ipVersion() {
        return ipVersion;
    }

    /** Where the IP header is. */
    public int ipOffset() {
        return ipOffset;
    }

    /**
     * Where the IP packet ends by its own length, at most the frame's length. Bytes behind it are padding; whoever hands on a
     * frame with a partial checksum should leave them off, as the checksum is finished up to the frame's end.
     */
    public int endOffset() {
        return endOffset;
    }

    /** True if the IP header names more bytes than the frame has. */
    public boolean isTruncated() {
        return truncated;
    }

    /** IP's number of what is at {@link #l4Offset}, or -1. */
    public int protocol() {
        return protocol;
    }

    /** Where the transport header is; of a fragment, where its part of the payload is. */
    public int l4Offset() {
        return l4Offset;
    }

    /** Which transport header is there, whole and well-formed. */
    public L4 l4() {
        return l4;
    }

    /** Bytes from {@link #l4Offset} to the packet's end, by IP's lengths and never beyond the frame; 0 if absent. */
    public int l4Length() {
        return l4Offset < 0 ? 0 : endOffset - l4Offset;
    }

    /** True if the packet is a part of another. One that is whole and has a fragment header all the same (RFC 6946) is none. */
    public boolean isFragment() {
        return fragment;
    }

    /** Bytes up to and with the TCP or UDP header, which is what every segment repeats; 0 if there is none. */
    public int headerBytes() {
        return headerBytes;
    }

    /**
     * Where the checksum of TCP, UDP, SCTP, ICMP or ICMPv6 is, if it can be computed from this frame: absent if the packet is
     * a fragment or truncated, the lengths contradict each other, or the final destination is not known.
     */
    public int checksumOffset() {
        return checksumOffset;
    }

    /** The eight flags of TCP from FIN, bit 0, to CWR, bit 7; 0 if it is not TCP. */
    public int tcpFlags() {
        return tcpFlags;
    }

    /** Bytes of the whole frame, as {@link #parse} was told. */
    int frameBytes() {
        return frameBytes;
    }

    /** Bytes from {@link #l4Offset} that the checksum covers. */
    int checksumBytes() {
        return checksumBytes;
    }

    /** Where the IP header's source address is. */
    int sourceOffset() {
        return ipVersion == 4 ? ipOffset + 12 : ipOffset + 8;
    }

    /** Where the final destination's address is, for the pseudo-header. */
    int destinationOffset() {
        return destinationOffset;
    }

    /** Bytes of an address. */
    int addressBytes() {
        return ipVersion == 4 ? 4 : 16;
    }

    static int u8(MemorySegment memory, long at) {
        return Byte.toUnsignedInt(memory.get(BYTE, at));
    }

    static int u16(MemorySegment memory, long at) {
        return Short.toUnsignedInt(memory.get(SHORT, at));
    }
}
