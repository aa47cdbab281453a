package xenback.net.packet;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Whether a frame comes from whom it says: from one station, and from addresses that the station was given. Claims about a
 * neighbour are sources too: the sender of ARP (RFC 826) and the target of a neighbour advertisement (RFC 4861 4.4). Immutable;
 * any thread, nothing is allocated per frame.
 *
 * <p>With any address, IPv4 is bound to the IPv4 ones; with an IPv6 one, IPv6 is bound too. Without an IPv6 one it is free, for a
 * guest makes up its IPv6 addresses by itself (RFC 4862) and nobody can list them. VLAN tags are looked behind.
 */
public final class SourceFilter {
    /** Lets everything pass. */
    public static final SourceFilter NONE = new SourceFilter(0, new int[0], new long[0], false);

    private static final int ARP = 0x0806;
    private static final int RARP = 0x8035;
    private static final int ARP_BYTES = 28; // of Ethernet and IPv4
    private static final int LEAST_ETHERTYPE = 0x600;
    private static final long SNAP = 0xAAAA_0300_0000L; // RFC 1042: an EtherType follows

    private static final int DHCP_CLIENT = 68;
    private static final int DHCP_SERVER = 67;

    private static final int MLD_REPORT = 131;
    private static final int MLD_DONE = 132;
    private static final int ROUTER_SOLICITATION = 133;
    private static final int NEIGHBOUR_SOLICITATION = 135;
    private static final int NEIGHBOUR_ADVERTISEMENT = 136;
    private static final int MLD2_REPORT = 143;
    private static final int ND_BYTES = 24; // with the target, at 8

    private static final long LINK_LOCAL = 0xFE80_0000_0000_0000L;

    private static final Pattern FORM =
            Pattern.compile("([0-9]{1,3}(?:\\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)(?:/([0-9]{1,3}))?");
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private final long station; // 0: nothing is looked at
    private final int[] addresses4; // pairs of address and mask
    private final long[] addresses6; // address and mask, each in two halves
    private final boolean bound4;

    private SourceFilter(long station, int[] addresses4, long[] addresses6, boolean bound4) {
        this.station = station;
        this.addresses4 = addresses4;
        this.addresses6 = addresses6;
        this.bound4 = bound4;
    }

    /**
     * Of a station that has these addresses, as the toolstack's node {@code ip} has them: IPv4 or IPv6, each with or without a
     * prefix's length, which makes it a whole net. Empty if one of them is nothing of the kind.
     */
    public static Optional<SourceFilter> of(Mac station, List<String> addresses) {
        int[] all4 = new int[0];
        long[] all6 = new long[0];
        for (String text : addresses) {
            Optional<ByteBuffer> parsed = addressAndMask(text);
            if (parsed.isEmpty()) {
                return Optional.empty();
            }
            ByteBuffer pair = parsed.get();
            if (pair.capacity() == 8) {
                all4 = Arrays.copyOf(all4, all4.length + 2);
                pair.asIntBuffer().get(all4, all4.length - 2, 2);
            } else {
                all6 = Arrays.copyOf(all6, all6.length + 4);
                pair.asLongBuffer().get(all6, all6.length - 4, 4);
            }
        }
        return Optional.of(new SourceFilter(station.value(), all4, all6, !addresses.isEmpty()));
    }

    private static Optional<ByteBuffer> addressAndMask(String text) {
        var form = FORM.matcher(text);
        if (!form.matches()) {
            return Optional.empty();
        }
        try {
            InetAddress literal = InetAddress.ofLiteral(form.group(1));
            int bytes = literal instanceof Inet6Address ? 16 : 4;
            int prefix = form.group(2) == null ? bytes * 8 : Integer.parseInt(form.group(2));
            if (prefix > bytes * 8) {
                return Optional.empty();
            }
            ByteBuffer pair = ByteBuffer.allocate(2 * bytes).put(literal.getAddress());
            for (int bit = 0; bit < prefix; bit++) {
                int at = bytes + bit / 8;
                pair.put(at, (byte) (pair.get(at) | 0x80 >>> bit % 8));
            }
            for (int i = 0; i < bytes; i++) {
                pair.put(i, (byte) (pair.get(i) & pair.get(bytes + i)));
            }
            return Optional.of(pair.rewind());
        } catch (IllegalArgumentException e) { // not a literal after all
            return Optional.empty();
        }
    }

    /**
     * Judges the frame whose {@code length} bytes are at {@code offset}.
     *
     * @param headers overwritten
     */
    public boolean permits(MemorySegment frame, long offset, int length, FrameHeaders headers) {
        if (station == 0) {
            return true;
        }
        if (!headers.parse(frame, offset, length) || mac(frame, offset + 6) != station) {
            return false;
        }
        int type = headers.etherType();
        int payload = FrameHeaders.ETHERNET_BYTES + headers.vlanTags() * FrameHeaders.TAG_BYTES;
        return switch (type) {
            case ARP, RARP -> length - payload >= ARP_BYTES && permitsArp(frame, offset + payload);
            case FrameHeaders.ETHERTYPE_IPV4 ->
                !bound4 || headers.ipVersion() == 4 && permitsIpv4(frame, offset, headers);
            case FrameHeaders.ETHERTYPE_IPV6 ->
                addresses6.length == 0 || headers.ipVersion() == 6 && permitsIpv6(frame, offset, headers);
            default ->
                !FrameHeaders.isTag(type) // more of them than are looked behind
                        && (!bound4 || type >= LEAST_ETHERTYPE || !isSnap(frame, offset + payload, length - payload));
        };
    }

    /** IP in SNAP, which some hosts would take for IP (RFC 1042). */
    private static boolean isSnap(MemorySegment frame, long at, int bytes) {
        return bytes >= 6 && mac(frame, at) == SNAP;
    }

    /**
     * No address is what one has that asks whether its own is taken (RFC 5227), or which it has (RFC 903). A question of that
     * kind about another's would be answered by him with giving it up.
     */
    private boolean permitsArp(MemorySegment frame, long at) {
        if (FrameHeaders.u16(frame, at + 4) != 0x0604) {
            return false; // lengths of another kind of address: nobody looks where these fields are
        }
        int sender = frame.get(FrameHeaders.INT, at + 14);
        int target = frame.get(FrameHeaders.INT, at + 24);
        return mac(frame, at + 8) == station
                && (!bound4 || (sender == 0 ? target == 0 || contains(target) : contains(sender)));
    }

    private boolean permitsIpv4(MemorySegment frame, long offset, FrameHeaders headers) {
        int source = frame.get(FrameHeaders.INT, offset + headers.sourceOffset());
        return contains(source) || source == 0 && isDhcp(frame, offset + headers.l4Offset(), headers);
    }

    private static boolean isDhcp(MemorySegment frame, long at, FrameHeaders headers) {
        return headers.l4() == FrameHeaders.L4.UDP
                && FrameHeaders.u16(frame, at) == DHCP_CLIENT
                && FrameHeaders.u16(frame, at + 2) == DHCP_SERVER;
    }

    private boolean permitsIpv6(MemorySegment frame, long offset, FrameHeaders headers) {
        if (headers.l4Offset() < 0) {
            return false; // more headers than are looked behind, or a length that is not told: an advertisement could
            // follow
        }
        long source = offset + headers.sourceOffset();
        long at = offset + headers.l4Offset();
        int kind = headers.l4() == FrameHeaders.L4.ICMPV6 ? FrameHeaders.u8(frame, at) : -1;
        boolean target = kind != NEIGHBOUR_SOLICITATION && kind != NEIGHBOUR_ADVERTISEMENT
                || headers.l4Length() >= ND_BYTES && contains(frame, at + 8);
        if (contains(frame, source)) {
            return target || kind == NEIGHBOUR_SOLICITATION;
        }
        return frame.get(LONG, source) == 0
                && frame.get(LONG, source + 8) == 0
                && target
                && switch (kind) {
                    // Looking for a duplicate (RFC 4862), for routers (RFC 4861), joining a group before (RFC 3590).
                    case MLD_REPORT, MLD_DONE, ROUTER_SOLICITATION, NEIGHBOUR_SOLICITATION, MLD2_REPORT -> true;
                    default -> false;
                };
    }

    private boolean contains(int address) {
        for (int i = 0; i < addresses4.length; i += 2) {
            if ((address & addresses4[i + 1]) == addresses4[i]) {
                return true;
            }
        }
        return false;
    }

    private boolean contains(MemorySegment frame, long at) {
        long high = frame.get(LONG, at);
        long low = frame.get(LONG, at + 8);
        for (int i = 0; i < addresses6.length; i += 4) {
            if ((high & addresses6[i + 2]) == addresses6[i] && (low & addresses6[i + 3]) == addresses6[i + 1]) {
                return true;
            }
        }
        return high == LINK_LOCAL && low == identifier();
    }

    /** The station's own of a link-local address (RFC 4291, appendix A). */
    private long identifier() {
        long mac = station ^ 0x0200_0000_0000L;
        return (mac & 0xFFFF_FF00_0000L) << 16 | 0xFF_FE00_0000L | mac & 0xFF_FFFFL;
    }

    private static long mac(MemorySegment frame, long at) {
        return (long) FrameHeaders.u16(frame, at) << 32 | Integer.toUnsignedLong(frame.get(FrameHeaders.INT, at + 2));
    }
}
