package xenback.block.backend;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.Disk;
import xenback.block.disk.FileDisk;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifLayout;
import xenback.xen.Errno;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.bus.BackendBus;
import xenback.xen.bus.BackendDriver;
import xenback.xen.io.NativeFile;
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
    private final LoopSource loops;
    private final BlockEvent.Listener listener;
    private final List<Row> rows = new CopyOnWriteArrayList<>();
    private @Nullable BackendBus bus;

    private BlockBackend(Xen xen, LoopSource loops, BlockEvent.Listener listener) {
        this.xen = xen;
        this.loops = loops;
        this.listener = listener;
    }

    /** Starts to serve one kind in the domain that {@code xen} stands for; each session's queue lives on a loop from {@code loops}. */
    public static BlockBackend start(Xen xen, String kind, LoopSource loops, BlockEvent.Listener listener)
            throws XenException {
        BlockBackend backend = new BlockBackend(xen, loops, listener);
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

    /** One device. On its control thread, but for the counters. */
    private final class Vbd implements BackendDriver.Instance {
        private final BackendDriver.Address address;
        private final String name;
        private final BlockCounters counters = new BlockCounters();
        private @Nullable Disk disk;
        private @Nullable BlockSession session;

        Vbd(BackendDriver.Address address) {
            this.address = address;
            name = interfaceName(address.frontendDomid(), address.devid());
        }

        @Override
        public SequencedMap<String, String> offer() {
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            nodes.put("max-ring-page-order", Integer.toString(BlkifParameters.MAX_RING_PAGE_ORDER));
            return nodes;
        }

        @Override
        public void open() throws XenException {
            XenStore store = xen.store();
            StorePath node = address.backend();
            String params = store.read(node.child("params")).orElse("");
            String mode = store.read(node.child("mode")).orElse("r");
            boolean direct =
                    store.read(node.child("direct-io-safe")).orElse("0").equals("1");
            boolean ownSectorSize =
                    store.read(node.child(OWN_SECTOR_SIZE)).orElse("0").equals("1");
            Path path = path(params);
            try {
                if (!path.isAbsolute()) {
                    throw new XenException(
                            Errno.EINVAL,
                            address.xenbusPath()
                                    + ": params must be the absolute path of an image file or block device");
                }
                Disk opened = FileDisk.open(path, new FileDisk.Options(!mode.contains("w"), direct, ownSectorSize));
                disk = opened;
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
                        NativeFile.deviceOf(path),
                        e.errno().number(),
                        String.valueOf(e.getMessage())));
                throw e;
            }
        }

        @Override
        public SequencedMap<String, String> connect(StorePath frontend, BackendDriver.Broken onBroken)
                throws XenException {
            Disk open = openDisk();
            BlkifParameters parameters = BlkifParameters.read(xen.store(), frontend);
            session =
                    BlockSession.open(name, xen, address.frontendDomid(), parameters, open, loops, counters, onBroken);
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            // In units of 512 bytes whatever sector-size says (blkif.h, note on sectors, 2024).
            nodes.put("sectors", Long.toString(open.sizeBytes() / BlkifLayout.SECTOR_BYTES));
            nodes.put("sector-size", Integer.toString(open.logicalBlockBytes()));
            nodes.put("physical-sector-size", Integer.toString(open.physicalBlockBytes()));
            nodes.put("info", Integer.toString(open.readOnly() ? Blkif.INFO_READONLY : 0));
            nodes.put("feature-flush-cache", open.canFlush() ? "1" : "0");
            return nodes;
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
                        ready.parameters().abi().wireName()));
                ready.begin();
            }
        }

        @Override
        public void disconnect() {
            BlockSession ending = session;
            if (ending != null) {
                session = null;
                ending.close();
                tell(new BlockEvent.Disconnected(name, address.devid(), address.frontendDomid()));
            }
        }

        @Override
        public void close() {
            Disk open = disk;
            if (open != null) {
                disk = null;
                rows.removeIf(row -> row.name().equals(name));
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

        /** The qdisk and tap kinds put the format before the target; libxl spells raw "aio". */
        private static Path path(String params) throws XenException {
            try {
                return Path.of(params.startsWith("aio:") || params.startsWith("raw:") ? params.substring(4) : params);
            } catch (InvalidPathException e) { // a NUL in it
                throw new XenException(Errno.EINVAL, "params cannot be a path", e);
            }
        }

        private void tell(BlockEvent event) {
            listener.on(event);
        }
    }
}
