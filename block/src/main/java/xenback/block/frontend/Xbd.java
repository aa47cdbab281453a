package xenback.block.frontend;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.SequencedMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifLayout;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.FrontendDevice;
import xenback.xen.bus.FrontendDriver;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * A guest's disk: the frontend of blkif in a domain of the embedded Xen, seen by its users as a {@link Disk}. All its queues
 * are one queue over one ring, on the loop it was started with.
 */
public final class Xbd implements Disk {
    /** How long requests in flight may take to end when the device goes; then they fail. */
    private static final Duration DRAIN_TIMEOUT = Duration.ofSeconds(5);

    private final String name;
    private final Domain guest;
    private final Abi abi;
    private final EventLoop loop;
    private final FrontendDevice device;

    // Written by the device's control thread before it is attached, read by others after.
    private volatile long sizeBytes;
    private volatile int sectorBytes = BlkifLayout.SECTOR_BYTES;
    private volatile int physicalBytes = BlkifLayout.SECTOR_BYTES;
    private volatile boolean readOnly;
    private volatile boolean canFlush;
    private volatile @Nullable XbdQueue queue;

    private Xbd(String name, Domain guest, StorePath frontend, Abi abi, EventLoop loop) throws XenException {
        this.name = name;
        this.guest = guest;
        this.abi = abi;
        this.loop = loop;
        device = FrontendDevice.start(guest.store(), frontend, Instance::new);
    }

    /**
     * Starts the driver for a device that the toolstack has attached, and waits until it is in use.
     *
     * @param name what the guest calls it, {@code xbd0}
     * @param frontend the device's directory, as {@code Toolstack.attach} returned it
     * @param abi the ABI to speak
     * @param loop the loop of its queue; the caller closes it, after this
     */
    public static Xbd start(String name, Domain guest, StorePath frontend, Abi abi, EventLoop loop)
            throws XenException {
        Xbd xbd = new Xbd(name, guest, frontend, abi, loop);
        try {
            if (xbd.device.awaitAttached(Duration.ofSeconds(30))) {
                return xbd;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        xbd.device.close();
        throw new XenException(Errno.EIO, name + ": the backend of " + frontend + " does not connect");
    }

    /** The loop that this disk's queue lives on. */
    public EventLoop loop() {
        return loop;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public int logicalBlockBytes() {
        return sectorBytes;
    }

    @Override
    public int physicalBlockBytes() {
        return physicalBytes;
    }

    @Override
    public boolean readOnly() {
        return readOnly;
    }

    @Override
    public boolean canFlush() {
        return canFlush;
    }

    @Override
    public boolean canDiscard() {
        return false;
    }

    @Override
    public boolean canWriteZeroes() {
        return false;
    }

    /** The queue; the same for every caller, as there is one ring. Closing it does nothing. */
    @Override
    public DiskQueue openQueue(EventLoop loop) {
        XbdQueue open = queue;
        if (loop != this.loop || open == null) {
            throw new IllegalStateException(name + ": not on " + loop);
        }
        return open;
    }

    /** The guest crashes: its end goes without a word in the store. Requests in flight fail. Idempotent. */
    @Override
    public void close() {
        device.close();
    }

    /** Waits until the toolstack has removed the device and this end has given everything back. */
    public boolean awaitEnd(Duration atMost) throws InterruptedException {
        return device.awaitEnd(atMost);
    }

    @Override
    public String toString() {
        return name + ": " + queue;
    }

    /** What the bus drives. On the device's control thread. */
    private final class Instance implements FrontendDriver.Instance {
        private final FrontendDriver.Address address;

        Instance(FrontendDriver.Address address) {
            this.address = address;
        }

        @Override
        public SequencedMap<String, String> prepare() throws XenException {
            XbdQueue made = XbdQueue.open(name, guest, address, abi, loop);
            queue = made;
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            nodes.put("ring-ref", Integer.toUnsignedString(made.ringGref()));
            nodes.put("event-channel", Integer.toString(made.port()));
            nodes.put("protocol", abi.wireName());
            return nodes;
        }

        @Override
        public void attach() throws XenException {
            XenStore store = guest.store();
            StorePath backend = address.backend();
            sizeBytes = number(store, backend.child("sectors"), Long.MAX_VALUE / BlkifLayout.SECTOR_BYTES)
                    * BlkifLayout.SECTOR_BYTES;
            sectorBytes = (int) number(store, backend.child("sector-size"), 1 << 20);
            physicalBytes = store.exists(backend.child("physical-sector-size"))
                    ? (int) number(store, backend.child("physical-sector-size"), 1 << 30)
                    : sectorBytes;
            readOnly = (number(store, backend.child("info"), 7) & Blkif.INFO_READONLY) != 0;
            canFlush =
                    store.read(backend.child("feature-flush-cache")).orElse("0").equals("1");
            XbdQueue ready = queue;
            if (ready != null) {
                loop.execute(ready::begin);
            }
        }

        @Override
        public void detach() {
            XbdQueue ending = queue;
            if (ending == null) {
                return;
            }
            CompletableFuture<Boolean> idle = new CompletableFuture<>();
            loop.execute(() -> ending.drain(() -> idle.complete(true)));
            try {
                idle.get(DRAIN_TIMEOUT.toNanos(), TimeUnit.NANOSECONDS);
            } catch (TimeoutException | ExecutionException e) {
                // The backend is gone and answers no more.
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        @Override
        public void release() {
            XbdQueue ending = queue;
            if (ending != null) {
                queue = null;
                ending.close();
            }
        }

        private long number(XenStore store, StorePath path, long limit) throws XenException {
            String text = store.require(path);
            try {
                long number = Long.parseLong(text);
                if (number >= 0 && number <= limit) {
                    return number;
                }
            } catch (NumberFormatException e) {
                // falls through to the one refusal
            }
            throw new XenException(Errno.EINVAL, path + ": '" + text + "' is out of range");
        }
    }
}
