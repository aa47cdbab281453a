package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * One queue of a TAP device: an Ethernet device of this machine whose other end is this program. Each frame is read and
 * written in one call, behind a virtio_net_hdr of {@link #HEADER_BYTES} that tells of blank checksums and large TCP frames
 * (linux/if_tun.h, IFF_VNET_HDR), so that both survive on their way through the kernel.
 *
 * <p>{@link #tryRead} and {@link #write} belong to one thread at a time; the rest may be called by any thread and allocates.
 */
public final class Tap implements AutoCloseable {
    /** Bytes of the virtio_net_hdr in front of each frame. */
    public static final int HEADER_BYTES = 10;

    /** The kernel finishes no checksum before it gives a frame to us. */
    public static final int OFFLOAD_CHECKSUM = 1;

    /** It hands over large TCP frames over IPv4. */
    public static final int OFFLOAD_TSO4 = 2;

    public static final int OFFLOAD_TSO6 = 4;

    /** With congestion notification too. */
    public static final int OFFLOAD_TSO_ECN = 8;

    private static final Path CLONE = Path.of("/dev/net/tun");

    private static final long TUNSETIFF = 0x400454CAL;
    private static final long TUNSETOFFLOAD = 0x400454D0L;
    private static final long TUNSETQUEUE = 0x400454D9L;
    private static final long TUNGETIFF = 0x800454D2L;
    private static final long TUNSETCARRIER = 0x400454E2L;
    private static final long TUNGETDEVNETNS = 0x54E3L;
    private static final int IFF_ATTACH_QUEUE = 0x200;
    private static final int IFF_DETACH_QUEUE = 0x400;
    private static final int IFF_TAP = 2;
    private static final int IFF_MULTI_QUEUE = 0x100;
    private static final int IFF_NO_PI = 0x1000;
    private static final int IFF_VNET_HDR = 0x4000;

    // struct ifreq: a name of at most 15 bytes and its end, then a union.
    private static final int IFREQ_BYTES = 40;
    private static final int IFREQ_UNION = 16;
    private static final int LONGEST_NAME = 15;

    private static final long SIOCGIFFLAGS = 0x8913;
    private static final long SIOCSIFFLAGS = 0x8914;
    private static final long SIOCGIFMTU = 0x8921;
    private static final long SIOCSIFMTU = 0x8922;
    private static final long SIOCSIFHWADDR = 0x8924;
    private static final int IFF_UP = 1;
    private static final short ARPHRD_ETHER = 1;
    private static final int AF_INET = 2;
    private static final int SOCK_DGRAM_CLOEXEC = 0x80002;
    private static final int CLONE_NEWNET = 0x40000000;
    private static final int NO_SOCKET = -1;

    private final String name;
    private final DeviceFile file;

    /** Of the network namespace that the interface was in when it was last asked for. Under the lock of this object. */
    private int socket = NO_SOCKET;

    private Tap(String name, DeviceFile file) {
        this.name = name;
        this.file = file;
    }

    /**
     * Makes a device, or takes a queue of one that is there and free.
     *
     * @param multiQueue whether it may have several queues; all who open it must say the same
     * @throws XenException EBUSY if the name is taken, EPERM, ENOENT where TUN is missing, EINVAL; each with the remedy
     */
    public static Tap open(String name, boolean multiQueue) throws XenException {
        byte[] bytes = name.getBytes(StandardCharsets.US_ASCII);
        if (bytes.length == 0 || bytes.length > LONGEST_NAME || !name.matches("[!-~&&[^/:]]+")) {
            throw new XenException(
                    Errno.EINVAL, "'" + name + "' cannot be an interface's name: 1 to " + LONGEST_NAME + " characters");
        }
        DeviceFile file = openClone();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment request = request(arena, name);
            int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multiQueue ? IFF_MULTI_QUEUE : 0);
            request.set(ValueLayout.JAVA_SHORT, IFREQ_UNION, (short) flags);
            int result = file.ioctlControl(TUNSETIFF, request);
            if (result < 0) {
                throw refused(name, Errno.of(-result));
            }
            return new Tap(name, file);
        } catch (XenException e) {
            file.close();
            throw e;
        }
    }

    /** The same in another network namespace, as {@link NetworkNamespace#named} names it. */
    public static Tap open(String name, boolean multiQueue, Path namespace) throws XenException {
        return NetworkNamespace.in(namespace, () -> open(name, multiQueue));
    }

    private static DeviceFile openClone() throws XenException {
        try {
            return DeviceFile.open(CLONE);
        } catch (XenException e) {
            String remedy = switch (e.errno()) {
                case ENOENT, ENODEV, ENXIO -> "is missing; load the kernel's module (modprobe tun)";
                case EACCES, EPERM -> "permission denied; run as root or with CAP_NET_ADMIN";
                default -> e.errno().toString();
            };
            throw new XenException(e.errno(), CLONE + ": " + remedy, e);
        }
    }

    private static XenException refused(String name, Errno errno) {
        String why = switch (errno) {
            case EBUSY -> "the name is taken; choose another, or end the program that uses it";
            case EPERM -> "permission denied; run as root or with CAP_NET_ADMIN";
            case EINVAL -> "there is an interface of that name, and it is no TAP of this kind";
            default -> errno.toString();
        };
        return new XenException(errno, name + ": " + why);
    }

    public String name() {
        return name;
    }

    /** The descriptor, to be polled. */
    public int fd() {
        return file.fd();
    }

    /** Reads a frame with its header; -1 if there is none. No allocation. */
    public int tryRead(MemorySegment into, long offset, int capacity) {
        return file.tryRead(into, offset, capacity);
    }

    /** Writes a frame with its header, or returns a negative errno: -EIO while the interface is down. No allocation. */
    public int write(MemorySegment from, long offset, int bytes) {
        return file.write(from, offset, bytes);
    }

    /**
     * Writes one with the loop's next system call, together with others that are started before it, in their order. The memory
     * belongs to the device until {@code done} is told what {@link #write(MemorySegment, long, int)} would return. No allocation.
     */
    public void write(EventLoop loop, MemorySegment from, long offset, int bytes, Completion done, int tag) {
        loop.writeDevice(file, from, offset, bytes, done, tag);
    }

    /** What frames that come from the kernel may leave undone: a mask of OFFLOAD_ bits. */
    public void setOffload(int mask) throws XenException {
        file.ioctlValue(name + ": offload", TUNSETOFFLOAD, mask);
    }

    /** Whether a cable is plugged in, as the kernel sees it. */
    public void setCarrier(boolean on) throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            file.ioctlChecked(
                    "carrier of " + name, TUNSETCARRIER, arena.allocateFrom(ValueLayout.JAVA_INT, on ? 1 : 0));
        }
    }

    /** Whether the kernel gives frames to this queue, one of several. Frames that wait in it stay or go with it. */
    public void setAttached(boolean attached) throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment request = request(arena, name);
            request.set(ValueLayout.JAVA_SHORT, IFREQ_UNION, (short) (attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE));
            file.ioctlChecked("queue of " + name, TUNSETQUEUE, request);
        }
    }

    /** Gives the interface an address: the first octet in bits 47 to 40. */
    public void setMac(long mac) throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment request = request(arena, name);
            request.set(ValueLayout.JAVA_SHORT, IFREQ_UNION, ARPHRD_ETHER);
            for (int i = 0; i < 6; i++) {
                request.set(ValueLayout.JAVA_BYTE, IFREQ_UNION + 2 + i, (byte) (mac >>> 40 - 8 * i));
            }
            file.ioctlChecked("address of " + name, SIOCSIFHWADDR, request);
        }
    }

    public void setMtu(int bytes) throws XenException {
        configure("mtu " + bytes, SIOCSIFMTU, request -> request.set(ValueLayout.JAVA_INT, IFREQ_UNION, bytes));
    }

    public int mtu() throws XenException {
        return configure("mtu", SIOCGIFMTU, request -> {}).get(ValueLayout.JAVA_INT_UNALIGNED, IFREQ_UNION);
    }

    private short flags() throws XenException {
        return configure("flags", SIOCGIFFLAGS, request -> {}).get(ValueLayout.JAVA_SHORT_UNALIGNED, IFREQ_UNION);
    }

    /** Whether the interface is switched on. */
    public boolean isUp() throws XenException {
        return (flags() & IFF_UP) != 0;
    }

    /** Switches the interface on. */
    public void up() throws XenException {
        short flags = flags();
        configure(
                "up",
                SIOCSIFFLAGS,
                request -> request.set(ValueLayout.JAVA_SHORT, IFREQ_UNION, (short) (flags | IFF_UP)));
    }

    private interface Filler {
        void fill(MemorySegment request);
    }

    /**
     * One ioctl on the interface, by its name of now, in its network namespace of now: scripts may rename it, and move it
     * into the namespace of a container. Returns what the kernel wrote, on the heap.
     */
    private synchronized MemorySegment configure(String what, long ioctl, Filler filler) throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment request = arena.allocate(IFREQ_BYTES, 8);
            file.ioctlChecked("name of " + name, TUNGETIFF, request);
            request.asSlice(IFREQ_UNION).fill((byte) 0);
            filler.fill(request);
            MemorySegment state = Libc.newState(arena);
            int result =
                    socket == NO_SOCKET ? -Errno.ENODEV.number() : Libc.ioctl(state, socket, ioctl, request.address());
            if (result == -Errno.ENODEV.number()) {
                openSocket();
                result = Libc.ioctl(state, socket, ioctl, request.address());
            }
            if (result < 0) {
                throw Native.failure(name + ": " + what, -result);
            }
            return MemorySegment.ofArray(request.toArray(ValueLayout.JAVA_BYTE));
        }
    }

    /** A socket belongs to the namespace of the thread that makes it, so a thread of the moment goes there. */
    private void openSocket() throws XenException {
        closeSocket();
        int namespace = file.ioctlControl(TUNGETDEVNETNS, MemorySegment.NULL);
        int[] made = {namespace};
        if (namespace >= 0) {
            Thread visitor =
                    Thread.ofPlatform().name("namespace of " + name).start(() -> made[0] = socketIn(namespace));
            EventLoop.join(visitor);
            Native.close(namespace);
        }
        if (made[0] < 0) {
            throw Native.failure("a socket for " + name, -made[0]);
        }
        socket = made[0];
    }

    private static int socketIn(int namespace) {
        return (int) Native.call((arena, state) -> {
            // Needs CAP_SYS_ADMIN, even for one's own. Without it the thread stays: right if nobody moved anything.
            Libc.setns(state, namespace, CLONE_NEWNET);
            return Libc.socket(state, AF_INET, SOCK_DGRAM_CLOEXEC, 0);
        });
    }

    private void closeSocket() {
        if (socket != NO_SOCKET) {
            Native.close(socket);
            socket = NO_SOCKET;
        }
    }

    private static MemorySegment request(Arena arena, String name) {
        MemorySegment request = arena.allocate(IFREQ_BYTES, 8);
        MemorySegment.copy(
                name.getBytes(StandardCharsets.US_ASCII), 0, request, ValueLayout.JAVA_BYTE, 0, name.length());
        return request;
    }

    /** Closes this queue; with the last one the interface goes away, unless it was made to stay. */
    @Override
    public void close() {
        file.close();
        synchronized (this) {
            closeSocket();
        }
    }
}
