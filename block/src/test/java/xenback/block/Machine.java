package xenback.block;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.UnaryOperator;
import xenback.block.backend.BlockBackend;
import xenback.block.backend.BlockEvent;
import xenback.block.backend.BlockOptions;
import xenback.block.disk.DiskSource;
import xenback.block.frontend.Xbd;
import xenback.block.frontend.XbdOptions;
import xenback.block.protocol.Abi;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;

/** A whole machine for tests: the embedded Xen, xbdback in domain 0, guests with disks. */
public final class Machine implements AutoCloseable {
    public final EmbeddedXen xen;
    public final Toolstack toolstack;
    public final List<BlockEvent> events = new CopyOnWriteArrayList<>();
    public final EventLoop.Engine engine;
    private final BlockOptions options;
    private final DiskSource disks;
    private final LoopSource backendLoops;
    private final List<EventLoop> loops = new ArrayList<>();
    private final List<Xbd> xbds = new ArrayList<>();
    private final Xen backendXen;
    private BlockBackend backend;

    public Machine(Path dir, EventLoop.Engine engine) throws XenException {
        this(dir, engine, BlockOptions.usual());
    }

    public Machine(Path dir, EventLoop.Engine engine, BlockOptions options) throws XenException {
        this(dir, engine, options, DiskSource.TARGETS);
    }

    public Machine(Path dir, EventLoop.Engine engine, BlockOptions options, DiskSource disks) throws XenException {
        this(dir, engine, options, disks, LoopSource.own(engine));
    }

    public Machine(Path dir, EventLoop.Engine engine, BlockOptions options, DiskSource disks, LoopSource backendLoops)
            throws XenException {
        this(dir, engine, options, disks, backendLoops, port -> port);
    }

    /** @param port what the backend gets in the place of domain 0's own port */
    public Machine(
            Path dir,
            EventLoop.Engine engine,
            BlockOptions options,
            DiskSource disks,
            LoopSource backendLoops,
            UnaryOperator<Xen> port)
            throws XenException {
        this.disks = disks;
        this.backendLoops = backendLoops;
        this.engine = engine;
        this.options = options;
        xen = EmbeddedXen.start(dir.resolve("run"));
        toolstack = new Toolstack(xen.domain0().store());
        backendXen = port.apply(xen.domain0());
        backend = startBackend();
    }

    private BlockBackend startBackend() throws XenException {
        return BlockBackend.start(backendXen, BlockBackend.KIND, options, backendLoops, disks, events::add);
    }

    public BlockBackend backend() {
        return backend;
    }

    /** The backend's process ends and a new one starts, as after a crash that left nothing. */
    public void restartBackend() throws XenException {
        backend.close();
        backend = startBackend();
    }

    public Domain guest(int domid) throws XenException {
        Domain guest = xen.createDomain(domid, 4096);
        toolstack.createHome(domid, "guest" + domid);
        return guest;
    }

    /** What libxl would write for {@code disk=['format=raw,vdev=...,access=...,target=...']}. */
    public static Toolstack.Device vbd(int domid, int vdev, Path image, String mode) {
        SequencedMap<String, String> backend = new LinkedHashMap<>();
        backend.put("params", image.toString());
        backend.put("removable", "0");
        backend.put("bootable", "1");
        backend.put("dev", "xvda");
        backend.put("type", "phy");
        backend.put("mode", mode);
        backend.put("device-type", "disk");
        SequencedMap<String, String> frontend = new LinkedHashMap<>();
        frontend.put("virtual-device", Integer.toString(vdev));
        frontend.put("device-type", "disk");
        return new Toolstack.Device(BlockBackend.KIND, "vbd", 0, domid, vdev, backend, frontend);
    }

    public Xbd attach(Domain guest, int vdev, Path image, String mode, Abi abi) throws XenException {
        StorePath frontend = toolstack.attach(vbd(guest.domid(), vdev, image, mode));
        return startXbd(guest, frontend, abi);
    }

    public Xbd startXbd(Domain guest, StorePath frontend, Abi abi) throws XenException {
        return startXbd(guest, frontend, XbdOptions.plain(abi));
    }

    public Xbd startXbd(Domain guest, StorePath frontend, XbdOptions xbdOptions) throws XenException {
        EventLoop loop = EventLoop.start("xbd" + xbds.size(), engine);
        loops.add(loop);
        Xbd xbd = Xbd.start("xbd" + xbds.size(), guest, frontend, xbdOptions, List.of(loop));
        xbds.add(xbd);
        return xbd;
    }

    public static Path image(Path path, long sizeBytes) throws IOException {
        try (var file = Files.newByteChannel(
                path, java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.WRITE)) {
            file.position(sizeBytes - 1);
            file.write(java.nio.ByteBuffer.wrap(new byte[] {0}));
        }
        return path;
    }

    @Override
    public void close() {
        backend.close();
        xbds.forEach(Xbd::close);
        loops.forEach(EventLoop::close);
        xen.close();
    }
}
