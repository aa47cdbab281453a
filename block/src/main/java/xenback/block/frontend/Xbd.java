package xenback.block.frontend;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
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
 * A guest's disk: the frontend of blkif in a domain of the embedded Xen, seen by its users as a {@link Disk}. Each of its queues
 * is a ring of its own on one of the loops it was started with.
 */
public final class Xbd implements Disk {
    /** How long requests in flight may take to end when the device goes; then they fail. */
    private static final Duration DRAIN_TIMEOUT = Duration.ofSeconds(5);

    private final String name;
    private final Domain guest;
    private final XbdOptions wanted;
    private final List<EventLoop> loops;
    private final FrontendDevice device;
    private final AtomicInteger opened = new AtomicInteger();

    // Written by the device's control thread before it is attached, read by others after.
    private volatile long sizeBytes;
    private volatile int sectorBytes = BlkifLayout.SECTOR_BYTES;
    private volatile int physicalBytes = BlkifLayout.SECTOR_BYTES;
    private volatile boolean readOnly;
    private volatile boolean canFlush;
    private volatile boolean canDiscard;
    private volatile boolean canDiscardSecurely;
    private volatile int discardGranularityBytes = BlkifLayout.SECTOR_BYTES;
    private volatile int discardAlignmentBytes;
    private volatile List<XbdQueue> queues = List.of();

    private Xbd(String name, Domain guest, StorePath frontend, XbdOptions options, List<EventLoop> loops)
            throws XenException {
        this.name = name;
        this.guest = guest;
        wanted = options;
        this.loops = List.copyOf(loops);
        device = FrontendDevice.start(guest.store(), frontend, Instance::new);
    }

    /**
     * Starts the driver for a device that the toolstack has attached, and waits until it is in use.
     *
     * @param name what the guest calls it, {@code xbd0}
     * @param frontend the device's directory, as {@code Toolstack.attach} returned it
     * @param options the features to use
     * @param loops the loops of its queues, in turn; the caller closes them, after this
     */
    public static Xbd start(String name, Domain guest, StorePath frontend, XbdOptions options, List<EventLoop> loops)
            throws XenException {
        Xbd xbd = new Xbd(name, guest, frontend, options, loops);
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

    /** The loop that this disk's first queue lives on. */
    public EventLoop loop() {
        return loops.getFirst();
    }

    /** How many rings are in use. */
    public int queueCount() {
        return queues.size();
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
        return canDiscard;
    }

    @Override
    public boolean canDiscardSecurely() {
        return canDiscardSecurely;
    }

    @Override
    public int discardGranularityBytes() {
        return discardGranularityBytes;
    }

    @Override
    public int discardAlignmentBytes() {
        return discardAlignmentBytes;
    }

    @Override
    public boolean canWriteZeroes() {
        return !readOnly;
    }

    /** A queue that lives on {@code loop}; of several the next one in turn. Closing it does nothing. */
    @Override
    public DiskQueue openQueue(EventLoop loop) {
        List<XbdQueue> here =
                queues.stream().filter(queue -> queue.loop() == loop).toList();
        if (here.isEmpty()) {
            throw new IllegalStateException(name + ": not on " + loop);
        }
        return here.get(Math.floorMod(opened.getAndIncrement(), here.size()));
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
        return name + ": " + queues;
    }

    /** What the bus drives. On the device's control thread. */
    private final class Instance implements FrontendDriver.Instance {
        private final FrontendDriver.Address address;

        Instance(FrontendDriver.Address address) {
            this.address = address;
        }

        @Override
        public SequencedMap<String, String> prepare() throws XenException {
            XbdOptions options = settle();
            List<XbdQueue> made = new ArrayList<>();
            queues = made; // so that release finds what was made before a failure
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            nodes.put("protocol", options.abi().wireName());
            nodes.put("feature-persistent", options.persistentGrants() ? "1" : "0");
            if (options.ringPageOrder() > 0) {
                nodes.put(
                        options.numRingPages() ? "num-ring-pages" : "ring-page-order",
                        Integer.toString(
                                options.numRingPages() ? 1 << options.ringPageOrder() : options.ringPageOrder()));
            }
            if (options.queues() > 1) {
                nodes.put("multi-queue-num-queues", Integer.toString(options.queues()));
            }
            for (int i = 0; i < options.queues(); i++) {
                XbdQueue queue = XbdQueue.open(name, guest, address, options, loops.get(i % loops.size()));
                made.add(queue);
                describe(nodes, options.queues() > 1 ? "queue-" + i + "/" : "", queue);
            }
            queues = List.copyOf(made);
            return nodes;
        }

        private static void describe(SequencedMap<String, String> nodes, String prefix, XbdQueue queue) {
            int[] grefs = queue.ringGrefs();
            for (int page = 0; page < grefs.length; page++) {
                nodes.put(prefix + "ring-ref" + (grefs.length > 1 ? page : ""), Integer.toUnsignedString(grefs[page]));
            }
            nodes.put(prefix + "event-channel", Integer.toString(queue.port()));
        }

        /** What is wanted, as far as the backend offers it. */
        private XbdOptions settle() throws XenException {
            XenStore store = guest.store();
            StorePath backend = address.backend();
            return new XbdOptions(
                    wanted.abi(),
                    (int) Math.min(wanted.ringPageOrder(), number(store, backend.child("max-ring-page-order"), 16, 0)),
                    wanted.numRingPages(),
                    (int) Math.min(wanted.queues(), number(store, backend.child("multi-queue-max-queues"), 1 << 16, 1)),
                    (int) Math.min(
                            wanted.indirectSegments(),
                            number(
                                    store,
                                    backend.child("feature-max-indirect-segments"),
                                    BlkifLayout.MAX_INDIRECT_SEGMENTS,
                                    0)),
                    wanted.persistentGrants(),
                    wanted.barriers());
        }

        @Override
        public void attach() throws XenException {
            readProperties();
            for (XbdQueue queue : queues) {
                queue.loop().execute(queue::begin);
            }
        }

        /** The backend has written its 4 again: it may have another size, or have taken a feature back. */
        @Override
        public void refresh() throws XenException {
            readProperties();
        }

        private void readProperties() throws XenException {
            XenStore store = guest.store();
            StorePath backend = address.backend();
            sizeBytes = number(store, backend.child("sectors"), Long.MAX_VALUE / BlkifLayout.SECTOR_BYTES)
                    * BlkifLayout.SECTOR_BYTES;
            sectorBytes = (int) number(store, backend.child("sector-size"), 1 << 20);
            physicalBytes = (int) number(store, backend.child("physical-sector-size"), 1 << 30, sectorBytes);
            readOnly = (number(store, backend.child("info"), 7) & Blkif.INFO_READONLY) != 0;
            canFlush = number(store, backend.child(wanted.barriers() ? "feature-barrier" : "feature-flush-cache"), 1, 0)
                    == 1;
            canDiscard = number(store, backend.child("feature-discard"), 1, 0) == 1;
            canDiscardSecurely = number(store, backend.child("discard-secure"), 1, 0) == 1;
            discardGranularityBytes = (int) number(store, backend.child("discard-granularity"), 1 << 30, sectorBytes);
            discardAlignmentBytes = (int) number(store, backend.child("discard-alignment"), 1 << 30, 0);
        }

        @Override
        public void detach() {
            List<CompletableFuture<Boolean>> drains = new ArrayList<>();
            for (XbdQueue queue : queues) {
                CompletableFuture<Boolean> idle = new CompletableFuture<>();
                drains.add(idle);
                queue.loop().execute(() -> queue.drain(() -> idle.complete(true)));
            }
            try {
                CompletableFuture.allOf(drains.toArray(CompletableFuture[]::new))
                        .get(DRAIN_TIMEOUT.toNanos(), TimeUnit.NANOSECONDS);
            } catch (TimeoutException | ExecutionException e) {
                // The backend is gone and answers no more.
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        @Override
        public void release() {
            List<XbdQueue> ending = queues;
            queues = List.of();
            ending.forEach(XbdQueue::close);
        }

        /** A number that need not be there. */
        private long number(XenStore store, StorePath path, long limit, long absent) throws XenException {
            return store.exists(path) ? number(store, path, limit) : absent;
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
