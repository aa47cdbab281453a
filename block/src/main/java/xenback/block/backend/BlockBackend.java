package xenback.block.backend;

import java.util.Collections;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskSource;
import xenback.block.disk.FileDisk;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifLayout;
import xenback.block.protocol.Offered;
import xenback.xen.Errno;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.bus.BackendBus;
import xenback.xen.bus.BackendDriver;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * xbdback: serves every device below {@code backend/<kind>} of its domain. What to serve stands in the device's own
 * directory, as libxl writes it: {@code params} names the store, {@code mode} says whether it may be written.
 */
public final class BlockBackend implements AutoCloseable {
    /** The directory of block backends that libxl calls {@code phy}. */
    public static final String KIND = "vbd";

    /** A node of our own in a device's directory: 1 to offer the store's own sector size rather than 512 bytes. */
    public static final String OWN_SECTOR_SIZE = "own-sector-size";

    private final Xen xen;
    private final BlockOptions options;
    private final LoopSource loops;
    private final DiskSource disks;
    private final BlockEvent.Listener listener;
    private final List<Row> rows = new CopyOnWriteArrayList<>();
    private final Map<String, Vbd> vbds = new ConcurrentHashMap<>();
    private @Nullable BackendBus bus;

    private BlockBackend(
            Xen xen, BlockOptions options, LoopSource loops, DiskSource disks, BlockEvent.Listener listener) {
        this.xen = xen;
        this.options = options;
        this.loops = loops;
        this.disks = disks;
        this.listener = listener;
    }

    /** Starts to serve one kind in the domain that {@code xen} stands for; each queue lives on a loop from {@code loops}, each store is opened by {@code disks}. */
    public static BlockBackend start(
            Xen xen,
            String kind,
            BlockOptions options,
            LoopSource loops,
            DiskSource disks,
            BlockEvent.Listener listener)
            throws XenException {
        BlockBackend backend = new BlockBackend(xen, options, loops, disks, listener);
        backend.bus = BackendBus.start(xen, kind, backend::attach);
        return backend;
    }

    /**
     * A device as an observer sees it.
     *
     * @param name {@code xbdback1i51712}
     * @param disk its store, which the device closes
     */
    public record Row(String name, int domid, int vdev, Disk disk, BlockCounters counters) {}

    /** The devices whose stores are open now. */
    public List<Row> devices() {
        return List.copyOf(rows);
    }

    /** The rings of a device in words, an entry for each queue; none while it is not connected. Any thread but a loop's. */
    public List<String> rings(String interfaceName) {
        Vbd vbd = vbds.get(interfaceName);
        BlockSession running = vbd == null ? null : vbd.session;
        return running == null ? List.of() : running.pictures();
    }

    /** Lets go of every device, after its requests in flight. Nothing is said in the store. */
    @Override
    public void close() {
        BackendBus running = bus;
        if (running != null) {
            running.close();
        }
    }

    /** The name of a device's interface (xbdback(4)). */
    public static String interfaceName(int domid, int vdev) {
        return "xbdback" + domid + "i" + vdev;
    }

    private BackendDriver.Instance attach(BackendDriver.Address address) {
        return new Vbd(address);
    }

    /** How often a new size is told anew if no request shows that the frontend knows it. */
    private static final int ANNOUNCEMENTS = 5;

    /** One device. On its control thread, but for the counters and the ties. */
    private final class Vbd implements BackendDriver.Instance {
        private final BackendDriver.Address address;
        private final String name;
        private final BlockCounters counters = new BlockCounters();
        private @Nullable Disk disk;
        private volatile @Nullable BlockSession session; // others look at it
        private boolean discardEnabled;
        private int info;
        private int announcementsLeft;

        /** Set by any queue, told to the frontend by the control thread. */
        private final Set<BlockFeature> withdrawn = Collections.synchronizedSet(EnumSet.noneOf(BlockFeature.class));

        Vbd(BackendDriver.Address address) {
            this.address = address;
            name = interfaceName(address.frontendDomid(), address.devid());
        }

        /** What a frontend must know before it makes its rings. */
        @Override
        public SequencedMap<String, String> offer() {
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            nodes.put("max-ring-page-order", Integer.toString(options.maxRingPageOrder()));
            nodes.put("max-ring-pages", Integer.toString(1 << options.maxRingPageOrder())); // the deprecated twin
            nodes.put("multi-queue-max-queues", Integer.toString(options.maxQueues()));
            if (options.maxIndirectSegments() > 0) { // absent if unsupported (blkif.h)
                nodes.put("feature-max-indirect-segments", Integer.toString(options.maxIndirectSegments()));
            }
            return nodes;
        }

        @Override
        public void open() throws XenException {
            XenStore store = xen.store();
            StorePath node = address.backend();
            String params = store.read(node.child("params")).orElse("");
            String mode = store.read(node.child("mode")).orElse("r");
            boolean cdrom = store.read(node.child("device-type")).orElse("").equals("cdrom");
            boolean removable = store.read(node.child("removable")).orElse("0").equals("1");
            boolean readOnly = cdrom || !mode.contains("w");
            discardEnabled =
                    !store.read(node.child("discard-enable")).orElse("1").equals("0");
            info = (cdrom ? Blkif.INFO_CDROM : 0)
                    | (removable ? Blkif.INFO_REMOVABLE : 0)
                    | (readOnly ? Blkif.INFO_READONLY : 0);
            boolean direct =
                    store.read(node.child("direct-io-safe")).orElse("0").equals("1");
            boolean ownSectorSize = options.ownSectorSize()
                    || store.read(node.child(OWN_SECTOR_SIZE)).orElse("0").equals("1");
            try {
                Disk opened = disks.open(params, new FileDisk.Options(readOnly, direct, ownSectorSize));
                disk = opened;
                vbds.put(name, this);
                rows.add(new Row(name, address.frontendDomid(), address.devid(), opened, counters));
                tell(new BlockEvent.Attached(
                        name,
                        opened.name(),
                        opened.sizeBytes(),
                        opened.readOnly(),
                        address.frontendDomid(),
                        address.devid()));
            } catch (XenException e) {
                tell(new BlockEvent.CannotOpen(
                        name,
                        address.xenbusPath(),
                        DiskSource.deviceOf(params),
                        e.errno().number(),
                        String.valueOf(e.getMessage())));
                throw e;
            }
        }

        @Override
        public SequencedMap<String, String> connect(StorePath frontend, BackendDriver.Session ties)
                throws XenException {
            Disk open = openDisk();
            withdrawn.clear();
            announcementsLeft = 0;
            BlkifParameters parameters = BlkifParameters.read(xen.store(), frontend, options);
            boolean discard = open.canDiscard() && discardEnabled && !open.readOnly();
            Offered offered = new Offered(
                    open.canFlush(),
                    open.canFlush(),
                    discard,
                    discard && open.canDiscardSecurely(),
                    options.maxIndirectSegments());
            BlockSession.Setting setting = new BlockSession.Setting(
                    name, xen, address.frontendDomid(), open, offered, loops, counters, new Ties(ties));
            session = BlockSession.open(setting, parameters);
            return properties(open, offered);
        }

        /** What a frontend reads when the backend is at 4. */
        private SequencedMap<String, String> properties(Disk open, Offered offered) {
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            nodes.put("sectors", sectors(open));
            nodes.put("sector-size", Integer.toString(open.logicalBlockBytes()));
            nodes.put("physical-sector-size", Integer.toString(open.physicalBlockBytes()));
            nodes.put("info", Integer.toString(info));
            nodes.put("feature-persistent", flag(options.persistentGrants() && open.takesGrantedPages()));
            nodes.put("feature-flush-cache", flag(offered.flush()));
            nodes.put("feature-barrier", flag(offered.barrier()));
            nodes.put("feature-discard", flag(offered.discard()));
            if (offered.discard()) {
                nodes.put("discard-granularity", Integer.toString(open.discardGranularityBytes()));
                nodes.put("discard-alignment", Integer.toString(open.discardAlignmentBytes()));
                nodes.put("discard-secure", flag(offered.secureDiscard()));
            }
            return nodes;
        }

        /** In units of 512 bytes whatever sector-size says (blkif.h, note on sectors, 2024). */
        private static String sectors(Disk disk) {
            return Long.toString(disk.sizeBytes() / BlkifLayout.SECTOR_BYTES);
        }

        private static String flag(boolean set) {
            return set ? "1" : "0";
        }

        @Override
        public boolean isOutdated(StorePath frontend) throws XenException {
            BlockSession running = session;
            return running != null
                    && !BlkifParameters.read(xen.store(), frontend, options).equals(running.parameters());
        }

        /** Measures the store, takes back what it cannot do, and has pages given back that the guest does not use. */
        @Override
        public BackendDriver.Update update() throws XenException {
            Disk open = openDisk();
            BlockSession running = session;
            if (running != null) {
                running.keepHouse();
            }
            if (open.refreshSize(options.mayShrink())) {
                tell(new BlockEvent.Resized(name, open.name(), open.sizeBytes(), address.frontendDomid()));
                announcementsLeft = ANNOUNCEMENTS;
            }
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            for (BlockFeature feature : withdrawn.toArray(BlockFeature[]::new)) {
                for (String key : feature.nodes()) {
                    nodes.put(key, "0");
                }
                withdrawn.remove(feature);
            }
            boolean announce = announcementsLeft > 0;
            if (announce) {
                // No frontend confirms that it has read a size, and one that was at something else when the watch fired
                // has
                // not (blkfront ignores a 4 while it is connecting): so it is told some times more.
                announcementsLeft--;
                nodes.put("sectors", sectors(open));
            }
            return new BackendDriver.Update(nodes, announce);
        }

        @Override
        public void published() {
            BlockSession ready = session;
            if (ready != null) {
                tell(new BlockEvent.Connected(
                        name,
                        address.devid(),
                        address.frontendDomid(),
                        ready.port(),
                        ready.parameters().abi().wireName(),
                        ready.parameters().rings().size()));
                ready.begin();
            }
        }

        @Override
        public void serveOut() {
            BlockSession ending = session;
            if (ending != null) {
                ending.serveOut();
            }
        }

        @Override
        public void disconnect() {
            BlockSession ending = session;
            if (ending != null) {
                session = null;
                ending.close();
                tell(new BlockEvent.Disconnected(
                        name,
                        address.devid(),
                        address.frontendDomid(),
                        counters.requests(),
                        counters.events(),
                        counters.notifications()));
            }
        }

        @Override
        public void close() {
            Disk open = disk;
            if (open != null) {
                disk = null;
                rows.removeIf(row -> row.name().equals(name));
                vbds.remove(name);
                try {
                    open.close();
                } catch (XenException e) {
                    // What could not be flushed was never acknowledged as flushed; the user must know all the same.
                    System.getLogger(BlockBackend.class.getName())
                            .log(System.Logger.Level.ERROR, "{0}: {1}", name, e.getMessage());
                }
                tell(new BlockEvent.Detached(name, open.name(), address.frontendDomid()));
            }
        }

        private Disk openDisk() throws XenException {
            Disk open = disk;
            if (open == null) {
                throw new XenException(Errno.ENXIO, name + ": its store is not open");
            }
            return open;
        }

        private void tell(BlockEvent event) {
            listener.on(event);
        }

        /** What the queues of one session tell. Any thread. */
        private final class Ties implements BlockSession.Ties {
            private final BackendDriver.Session bus;

            Ties(BackendDriver.Session bus) {
                this.bus = bus;
            }

            @Override
            public void broken(String why) {
                bus.broken(why);
            }

            @Override
            public void withdraw(BlockFeature feature) {
                if (withdrawn.add(feature)) {
                    bus.changed();
                }
            }
        }
    }
}
