package xenback.net.packet;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.Random;

/**
 * Well-formed random frames: VLAN tags, IPv4 with options or IPv6 with extension headers, fragments, and TCP, UDP, SCTP, ICMP or
 * ICMPv6. Every checksum field holds a random value, and so does the payload. Written without the code under test.
 */
public final class RandomFrames {
    private static final int[] TAGS = {0x8100, 0x88A8};
    private static final int[] ROUTES = {0, 2, 4};

    private final Random random;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private boolean fragment;
    private int kind;
    private boolean forLinux;

    public RandomFrames(Random random) {
        this.random = random;
    }

    /** True if the last frame is one fragment of a packet. */
    public boolean isFragment() {
        return fragment;
    }

    /** IP's number of the last frame's protocol. */
    public int protocol() {
        return kind;
    }

    /** A frame with up to {@code maxPayload} bytes in its transport protocol, of any of them. */
    public byte[] next(int maxPayload) {
        int[] protocols = {6, 6, 17, 17, 132, 1, 58};
        return next(protocols[random.nextInt(protocols.length)], random.nextInt(8) == 0, maxPayload);
    }

    /** A whole TCP frame without the extension headers behind which Linux cuts nothing, at least of this payload. */
    public byte[] nextLargeTcp(int payload) {
        forLinux = true;
        byte[] frame = frame(6, false, transport(6, payload));
        forLinux = false;
        return frame;
    }

    private byte[] next(int protocol, boolean asFragment, int maxPayload) {
        return frame(protocol, asFragment, transport(protocol, random.nextInt(maxPayload + 1)));
    }

    private byte[] frame(int protocol, boolean asFragment, byte[] transport) {
        kind = protocol;
        fragment = asFragment;
        boolean six = protocol == 58 || protocol != 1 && random.nextBoolean();
        byte[] packet = six ? ipv6(protocol, transport) : ipv4(protocol, transport);
        bytes.reset();
        bytes.writeBytes(new byte[] {0, 0x16, 0x3E, 0, 0, 1, 0, 0x16, 0x3E, 0, 0, 2});
        for (int tags = Math.max(0, random.nextInt(5) - 2); tags > 0; tags--) {
            put16(TAGS[random.nextInt(2)]);
            put16(1 + random.nextInt(4094));
        }
        put16(six ? 0x86DD : 0x0800);
        bytes.writeBytes(packet);
        while (bytes.size() < 60) {
            bytes.write(0); // Ethernet's padding
        }
        return bytes.toByteArray();
    }

    private byte[] transport(int protocol, int payload) {
        bytes.reset();
        switch (protocol) {
            case 6 -> {
                int options = 4 * random.nextInt(11);
                put16(1024 + random.nextInt(40_000));
                put16(1024 + random.nextInt(40_000));
                putRandom(8);
                bytes.write((20 + options) / 4 << 4);
                bytes.write(0x10 | random.nextInt() & 0x88 | random.nextInt(2));
                putRandom(4); // window, checksum
                put16(0);
                for (int i = 0; i < options; i++) {
                    bytes.write(1);
                }
            }
            case 17 -> {
                put16(40_000 + random.nextInt(9000));
                put16(40_000 + random.nextInt(9000));
                put16(8 + payload);
                put16(1 + random.nextInt(0xFFFF));
            }
            case 132 -> {
                putRandom(12);
                bytes.write(0); // a DATA chunk
                bytes.write(3);
                put16(16 + payload);
                putRandom(12);
            }
            default -> {
                bytes.write(protocol == 1 ? 8 : 128); // echo request
                bytes.write(0);
                putRandom(6);
            }
        }
        putRandom(payload);
        if (protocol == 132) {
            bytes.writeBytes(new byte[-payload & 3]);
        }
        return bytes.toByteArray();
    }

    private byte[] ipv4(int protocol, byte[] transport) {
        bytes.reset();
        byte[] options = ipv4Options();
        bytes.write(0x40 | 5 + options.length / 4);
        bytes.write(0);
        put16(20 + options.length + transport.length);
        putRandom(2);
        put16(fragment ? fragmentField() : random.nextInt(2) << 14);
        bytes.write(64);
        bytes.write(protocol);
        putRandom(2); // header checksum
        bytes.write(10);
        putRandom(3);
        bytes.write(10);
        putRandom(3);
        bytes.writeBytes(options);
        bytes.writeBytes(transport);
        return bytes.toByteArray();
    }

    /** Offset in units of 8 bytes and the flag that more follow, not both 0. */
    private int fragmentField() {
        int offset = random.nextInt(3) * (1 + random.nextInt(100));
        return offset | (offset == 0 || random.nextBoolean() ? 0x2000 : 0);
    }

    private byte[] ipv4Options() {
        return switch (random.nextInt(6)) {
            case 0 -> repeat(4 * (1 + random.nextInt(10)), 1);
            case 1 -> new byte[] {(byte) 0x94, 4, 0, 0}; // router alert
            case 2 -> sourceRoute();
            default -> new byte[0];
        };
    }

    /** Loose or strict, used up to any point. */
    private byte[] sourceRoute() {
        int addresses = 1 + random.nextInt(8);
        byte[] option = repeat(4 + 4 * addresses, 10);
        random.nextBytes(option);
        option[0] = 1;
        option[1] = (byte) (random.nextBoolean() ? 131 : 137);
        option[2] = (byte) (3 + 4 * addresses);
        option[3] = (byte) (4 + 4 * random.nextInt(addresses + 1));
        for (int i = 4; i < option.length; i += 4) {
            option[i] = 10;
        }
        return option;
    }

    private byte[] ipv6(int protocol, byte[] transport) {
        ByteArrayOutputStream extensions = new ByteArrayOutputStream();
        int first = protocol;
        // From the last to the first, so that each knows what follows.
        if (random.nextInt(4) == 0) {
            prepend(extensions, options(first));
            first = 60;
        }
        if (!forLinux && random.nextInt(8) == 0) {
            prepend(extensions, authentication(first));
            first = 51;
        }
        if (fragment || !forLinux && random.nextInt(8) == 0) {
            int field = fragment ? fragmentField() : 0;
            int wire = (field & 0x1FFF) << 3 | field >>> 13;
            prepend(extensions, new byte[] {(byte) first, 0, (byte) (wire >>> 8), (byte) wire, 1, 2, 3, 4});
            first = 44;
        }
        if (random.nextInt(4) == 0) {
            prepend(extensions, route(first));
            first = 43;
        }
        if (random.nextInt(4) == 0) {
            prepend(extensions, options(first));
            first = 0;
        }
        bytes.reset();
        bytes.write(0x60);
        bytes.write(0);
        putRandom(2);
        put16(extensions.size() + transport.length);
        bytes.write(first);
        bytes.write(64);
        putAddress();
        putAddress();
        bytes.writeBytes(extensions.toByteArray());
        bytes.writeBytes(transport);
        return bytes.toByteArray();
    }

    private static void prepend(ByteArrayOutputStream to, byte[] header) {
        byte[] rest = to.toByteArray();
        to.reset();
        to.writeBytes(header);
        to.writeBytes(rest);
    }

    private byte[] options(int next) {
        byte[] header = new byte[8 * (1 + random.nextInt(3))];
        header[0] = (byte) next;
        header[1] = (byte) (header.length / 8 - 1);
        header[2] = 1; // PadN over all the rest
        header[3] = (byte) (header.length - 4);
        return header;
    }

    private byte[] authentication(int next) {
        byte[] header = new byte[24];
        random.nextBytes(header);
        header[0] = (byte) next;
        header[1] = 4;
        header[2] = 0;
        header[3] = 0;
        return header;
    }

    private byte[] route(int next) {
        int type = ROUTES[random.nextInt(ROUTES.length)];
        int addresses = type == 2 ? 1 : 1 + random.nextInt(3);
        byte[] header = new byte[8 + 16 * addresses];
        random.nextBytes(header);
        header[0] = (byte) next;
        header[1] = (byte) (2 * addresses);
        header[2] = (byte) type;
        header[3] = (byte) random.nextInt(addresses + 1);
        header[4] = (byte) (type == 4 ? addresses - 1 : 0);
        header[5] = 0;
        header[6] = 0;
        header[7] = 0;
        for (int at = 8; at < header.length; at += 16) {
            header[at] = 0x20;
            header[at + 1] = 1;
        }
        return header;
    }

    private void putAddress() {
        put16(0x2001);
        put16(0xDB8);
        putRandom(12);
    }

    private static byte[] repeat(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    private void put16(int value) {
        bytes.write(value >>> 8);
        bytes.write(value);
    }

    private void putRandom(int count) {
        byte[] some = new byte[count];
        random.nextBytes(some);
        bytes.writeBytes(some);
    }
}
