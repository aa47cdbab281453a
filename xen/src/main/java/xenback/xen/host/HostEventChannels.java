package xenback.xen.host;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.io.Completion;
import xenback.xen.io.DeviceFile;
import xenback.xen.io.EventLoop;

/**
 * One open /dev/xen/evtchn (uapi/xen/evtchn.h), restricted to one remote domain. Reading a port masks it, writing it back
 * unmasks it and is the late EOI that damps event storms (XSA-332).
 *
 * <p>{@link #takePending}, {@link #notifyPort} and {@link #unmask} belong to the listening loop's thread here.
 */
final class HostEventChannels implements EventChannels {
    private static final Path DEVICE = Path.of("/dev/xen/evtchn");

    // _IOC(_IOC_NONE, 'E', nr, size)
    private static final long BIND_INTERDOMAIN = 0x00084501L; // u32 remote_domain, u32 remote_port
    private static final long BIND_UNBOUND_PORT = 0x00044502L; // u32 remote_domain
    private static final long UNBIND = 0x00044503L; // u32 port
    private static final long NOTIFY = 0x00044504L; // u32 port
    private static final long RESTRICT_DOMID = 0x00024506L; // u16 domid

    private static final int PORTS_PER_READ = 64;

    private final Arena arena = Arena.ofShared();
    private final DeviceFile device;

    // The loop's: what was read, and the port that is written or notified.
    private final MemorySegment delivered = arena.allocate(4L * PORTS_PER_READ, 4);
    private final MemorySegment argument = arena.allocate(4, 4);
    private final MemorySegment[] unmasked = places(arena);
    private final Completion onDelivered = this::onDelivered;
    private @Nullable EventLoop loop;
    private EventLoop.@Nullable TurnEnd onEvent;

    /** Ports in {@code delivered} that nobody has taken yet, from {@code takenCount} on. */
    private int deliveredCount;

    private int takenCount;
    private int unmaskedCount;

    // Under the lock of this object.
    private final BitSet own = new BitSet();
    private boolean closed;

    private static MemorySegment[] places(Arena arena) {
        MemorySegment[] places = new MemorySegment[PORTS_PER_READ];
        Arrays.setAll(places, _ -> arena.allocate(4, 4));
        return places;
    }

    private HostEventChannels(DeviceFile device) {
        this.device = device;
    }

    /** Opens a set for one other domain. */
    static HostEventChannels open(int remoteDomid) throws XenException {
        HostEventChannels channels = new HostEventChannels(DeviceFile.open(DEVICE));
        channels.restrict(remoteDomid);
        return channels;
    }

    @Override
    public void listen(EventLoop loop, EventLoop.TurnEnd onEvent) {
        loop.execute(() -> {
            this.loop = loop;
            this.onEvent = onEvent;
            awaitEvents(loop);
        });
    }

    @Override
    public int bindInterdomain(int remoteDomid, int remotePort) throws XenException {
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment bind = scratch.allocate(8, 4);
            bind.set(ValueLayout.JAVA_INT, 0, remoteDomid);
            bind.set(ValueLayout.JAVA_INT, 4, remotePort);
            return adopt(device.ioctlChecked(
                    "bind to port " + remotePort + " of domain " + remoteDomid, BIND_INTERDOMAIN, bind));
        }
    }

    @Override
    public int bindUnbound(int remoteDomid) throws XenException {
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment bind = scratch.allocate(4, 4);
            bind.set(ValueLayout.JAVA_INT, 0, remoteDomid);
            return adopt(device.ioctlChecked("a port for domain " + remoteDomid, BIND_UNBOUND_PORT, bind));
        }
    }

    @Override
    public void unbind(int port) throws XenException {
        synchronized (this) {
            if (!own.get(port)) {
                throw new XenException(Errno.ENOTCONN, "event channel " + port + " is not bound here");
            }
            own.clear(port);
        }
        release(port);
    }

    @Override
    public void notifyPort(int port) {
        argument.set(ValueLayout.JAVA_INT, 0, port);
        device.tryIoctl(NOTIFY, argument);
    }

    @Override
    public int takePending(int[] ports) {
        int count = Math.min(ports.length, deliveredCount - takenCount);
        for (int i = 0; i < count; i++) {
            ports[i] = delivered.get(ValueLayout.JAVA_INT, 4L * takenCount++);
        }
        EventLoop listening = loop;
        if (count > 0 && takenCount == deliveredCount && listening != null) {
            awaitEvents(listening);
        }
        return count;
    }

    /** Together with the next wait for events: a system call of its own would cost a PV domain as much as the request. */
    @Override
    public void unmask(int port) {
        EventLoop listening = loop;
        if (listening == null) {
            throw new IllegalStateException("nobody listens on these event channels");
        }
        // Each call has its own place until the kernel has surely read it: after as many turns as there are places.
        MemorySegment place = unmasked[unmaskedCount++ & PORTS_PER_READ - 1];
        place.set(ValueLayout.JAVA_INT, 0, port);
        listening.writeDevice(device, place, 4);
    }

    @Override
    public void close() {
        BitSet leaving;
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            leaving = (BitSet) own.clone();
            own.clear();
        }
        // One by one: a poll that a ring still holds keeps the open file alive, and with it the ports.
        leaving.stream().forEach(this::release);
        device.close();
        arena.close();
    }

    private void awaitEvents(EventLoop listening) {
        takenCount = 0;
        deliveredCount = 0;
        listening.readDevice(device, delivered, 4 * PORTS_PER_READ, onDelivered, 0);
    }

    private void onDelivered(int tag, int bytes) {
        EventLoop listening = loop;
        EventLoop.TurnEnd work = onEvent;
        if (listening == null || work == null) {
            return;
        }
        takenCount = 0;
        deliveredCount = Math.max(0, bytes / 4);
        if (deliveredCount > 0) {
            listening.atTurnEnd(work);
        } else if (bytes == -Errno.EAGAIN.number() || bytes == -Errno.EINTR.number()) {
            awaitEvents(listening);
        } else {
            System.getLogger(HostEventChannels.class.getName())
                    .log(System.Logger.Level.ERROR, "{0}: no more events: errno {1}", DEVICE, -bytes);
        }
    }

    /** One way, and not for domain 0; a kernel without it is served all the same. */
    private void restrict(int remoteDomid) {
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment domid = scratch.allocate(2, 2);
            domid.set(ValueLayout.JAVA_SHORT, 0, (short) remoteDomid);
            int result = device.ioctlControl(RESTRICT_DOMID, domid);
            if (result < 0) {
                System.getLogger(HostEventChannels.class.getName())
                        .log(System.Logger.Level.DEBUG, "{0}: not restricted, errno {1}", DEVICE, -result);
            }
        }
    }

    private void release(int port) {
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment unbind = scratch.allocate(4, 4);
            unbind.set(ValueLayout.JAVA_INT, 0, port);
            device.ioctlControl(UNBIND, unbind);
        }
    }

    private synchronized int adopt(int port) throws XenException {
        if (closed) {
            release(port);
            throw new XenException(Errno.EBADF, "these event channels are closed");
        }
        own.set(port);
        return port;
    }
}
