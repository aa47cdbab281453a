package xenback.net.packet;

import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * A program for a network namespace of its own: two TAPs joined by Linux' bridge. What comes from the standard input goes in at
 * one, with a virtio_net_hdr in front; what comes out of the other, which has no offload, goes to the standard output. Each
 * piece has its length in front, four bytes; a length of 0 follows the last one that an input caused.
 */
@SuppressWarnings("restricted") // it is started with the right to call native code
final class BridgeInNamespace {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;
    private static final int READ_WRITE = 2;
    private static final long TUNSETIFF = 0x400454CAL;
    private static final short TAP_NO_PI_VNET_HDR = 0x5002;
    private static final short POLLIN = 1;
    private static final int ROOM = 1 << 17;
    private static final int HEADER = 10;

    /** Of what is bridged to know where an input's output ends; an EtherType for experiments (IEEE 802). */
    private static final int MARKER_TYPE = 0x88B5;

    private static final int MARKER_BYTES = HEADER + 64;
    private static final int PATIENCE_MILLIS = 10_000;

    private final Arena arena = Arena.ofConfined();
    private final MethodHandle open = function("open", INT, ValueLayout.ADDRESS, INT);
    private final MethodHandle read = function("read", LONG, INT, ValueLayout.ADDRESS, LONG);
    private final MethodHandle write = function("write", LONG, INT, ValueLayout.ADDRESS, LONG);
    private final MethodHandle poll = function("poll", INT, ValueLayout.ADDRESS, LONG, INT);
    private final MethodHandle ioctl = Linker.nativeLinker()
            .downcallHandle(
                    Linker.nativeLinker().defaultLookup().findOrThrow("ioctl"),
                    FunctionDescriptor.of(INT, INT, LONG, ValueLayout.ADDRESS),
                    Linker.Option.firstVariadicArg(2));
    private final MemorySegment buffer = arena.allocate(ROOM);
    private final MemorySegment pollfd = arena.allocate(8, 8);
    private int markers;

    private BridgeInNamespace() {}

    private static MethodHandle function(String name, ValueLayout result, ValueLayout... arguments) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(
                linker.defaultLookup().findOrThrow(name), FunctionDescriptor.of(result, arguments));
    }

    static void main() throws Throwable {
        new BridgeInNamespace().run();
    }

    private void run() throws Throwable {
        int in = tap("in");
        int out = tap("out");
        ip("link add bridge type bridge forward_delay 0 mcast_snooping 0");
        for (String name : new String[] {"in", "out"}) {
            ip("link set " + name + " master bridge mtu 65521 txqueuelen 10000 up");
        }
        ip("link set bridge up");
        for (String table : new String[] {"iptables", "ip6tables"}) {
            Path filter = Path.of("/proc/sys/net/bridge/bridge-nf-call-" + table);
            if (Files.exists(filter)) {
                Files.writeString(filter, "0"); // or else it judges IPv4 headers
            }
        }
        DataInputStream from = new DataInputStream(System.in);
        DataOutputStream to = new DataOutputStream(new BufferedOutputStream(System.out, ROOM));
        for (int i = 0; i < 100; i++) {
            mark(in);
            if (isReadable(out, 100)) {
                break; // the bridge forwards
            }
        }
        mark(in);
        drain(out, new DataOutputStream(DataOutputStream.nullOutputStream()));
        while (true) {
            byte[] input;
            try {
                input = from.readNBytes(from.readInt());
            } catch (EOFException e) {
                return;
            }
            send(in, input);
            mark(in);
            drain(out, to);
            to.writeInt(0);
            to.flush();
        }
    }

    private static void ip(String arguments) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(("ip " + arguments).split(" "))
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        if (process.waitFor() != 0) {
            throw new IOException("ip " + arguments);
        }
    }

    private int tap(String name) throws Throwable {
        int fd = (int) open.invokeExact(arena.allocateFrom("/dev/net/tun"), READ_WRITE);
        MemorySegment request = arena.allocate(40);
        request.setString(0, name);
        request.set(ValueLayout.JAVA_SHORT, 16, TAP_NO_PI_VNET_HDR);
        if ((int) ioctl.invokeExact(fd, TUNSETIFF, request) != 0) {
            throw new IOException("TAP " + name);
        }
        return fd;
    }

    private void mark(int in) throws Throwable {
        byte[] marker = new byte[MARKER_BYTES];
        Arrays.fill(marker, HEADER, HEADER + 6, (byte) 0x02);
        marker[HEADER + 6] = 0x02;
        marker[HEADER + 12] = (byte) (MARKER_TYPE >>> 8);
        marker[HEADER + 13] = (byte) MARKER_TYPE;
        markers++;
        for (int i = 0; i < 4; i++) {
            marker[HEADER + 14 + i] = (byte) (markers >>> 8 * i);
        }
        send(in, marker);
    }

    private void send(int in, byte[] bytes) throws Throwable {
        MemorySegment.copy(bytes, 0, buffer, BYTE, 0, bytes.length);
        long written = (long) write.invokeExact(in, buffer, (long) bytes.length);
        if (written != bytes.length) {
            System.err.println("the kernel refuses a frame of " + bytes.length + " bytes: " + written);
        }
    }

    /** Hands on what there is up to the last marker, but for what the interfaces themselves have to say. */
    private void drain(int out, DataOutputStream to) throws Throwable {
        while (isReadable(out, PATIENCE_MILLIS)) {
            int length = Math.toIntExact((long) read.invokeExact(out, buffer, (long) ROOM));
            byte[] bytes = buffer.asSlice(0, Math.max(0, length)).toArray(BYTE);
            if (length == MARKER_BYTES
                    && bytes[HEADER + 12] == (byte) (MARKER_TYPE >>> 8)
                    && bytes[HEADER + 13] == (byte) MARKER_TYPE) {
                int number = buffer.get(ValueLayout.JAVA_INT_UNALIGNED, HEADER + 14);
                if (number == markers) {
                    return;
                }
            } else if (bytes[HEADER + 6] == 0 && bytes[HEADER + 7] == 0x16 && bytes[HEADER + 8] == 0x3E) {
                to.writeInt(length);
                to.write(bytes);
            }
        }
        throw new IOException("nothing came for " + PATIENCE_MILLIS + " ms");
    }

    private boolean isReadable(int fd, int millis) throws Throwable {
        pollfd.set(INT, 0, fd);
        pollfd.set(ValueLayout.JAVA_SHORT, 4, POLLIN);
        return (int) poll.invokeExact(pollfd, 1L, millis) == 1;
    }
}
