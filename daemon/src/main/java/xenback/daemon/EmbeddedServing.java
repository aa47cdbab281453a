package xenback.daemon;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import xenback.block.backend.BlockBackend;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskSource;
import xenback.block.disk.ExtentsFrom;
import xenback.block.frontend.Xbd;
import xenback.block.frontend.XbdOptions;
import xenback.block.nbd.NbdExport;
import xenback.block.nbd.NbdServer;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;

/**
 * Disks and interfaces served with no hypervisor: xbdback and xnb in domain 0 of an embedded Xen, a guest for every domain id
 * that was asked for, an xbd in it for every disk, and NBD in front of each xbd, on the xbd's own loop.
 */
final class EmbeddedServing implements Serving {
    /** What the guest's frontend uses of blkif. */
    private static final XbdOptions FRONTEND = XbdOptions.usual();

    private static final Duration END_PATIENCE = Duration.ofSeconds(5);

    /** A disk that is served. */
    private record Served(DiskSpec spec, Toolstack.Device device, Xbd xbd, EventLoop loop, BlockBackend.Row row) {}

    private final ServePlan plan;
    private final Announcer announcer;
    private final Map<Integer, Domain> guests = new HashMap<>();
    private final List<Served> disks = new ArrayList<>();
    /** By the name of the backend's interface: both ends of a disk and its NBD clients share one loop. */
    private final Map<String, EventLoop> loops = new ConcurrentHashMap<>();

    private final List<NbdServer> servers = new ArrayList<>();
    private final EmbeddedXen xen;
    private final Toolstack toolstack;
    private final EmbeddedNics nics;
    private @Nullable BlockBackend backend;

    private EmbeddedServing(ServePlan plan, RunDir runDir, Announcer announcer) throws XenException {
        this.plan = plan;
        this.announcer = announcer;
        xen = EmbeddedXen.start(runDir.path());
        toolstack = new Toolstack(xen.domain0().store());
        nics = new EmbeddedNics(
                plan, announcer, xen.domain0(), xen.storeSocket().toAbsolutePath(), toolstack);
    }

    /** A {@link Serving.Starter}. */
    static Serving start(ServePlan plan, RunDir runDir, Announcer announcer) throws UserError, InterruptedException {
        EmbeddedServing serving = null;
        try {
            serving = new EmbeddedServing(plan, runDir, announcer);
            serving.begin();
            return serving;
        } catch (XenException e) {
            closeAfterFailure(serving, e);
            throw UserError.failure(Reason.line(e), e);
        } catch (InterruptedException e) {
            closeAfterFailure(serving, e);
            throw e;
        }
    }

    @Override
    public List<DiskCounts> counts() {
        return disks.stream()
                .map(served -> DiskCounts.of(served.xbd().name(), served.row()))
                .toList();
    }

    @Override
    public List<DiskView> disks() {
        BlockBackend running = backend;
        return running == null
                ? List.of()
                : disks.stream()
                        .map(served -> new DiskView(served.xbd().name(), running, served.row()))
                        .toList();
    }

    @Override
    public List<NicView> nics() {
        return nics.views();
    }

    @Override
    public void awaitFailure() throws InterruptedException {
        new CountDownLatch(1).await(); // each disk fails by itself and tells its users; nothing ends them all
    }

    @Override
    public void close() throws IOException {
        IOException failure = null;
        servers.forEach(NbdServer::close);
        try {
            nics.close();
        } catch (IOException e) {
            failure = e;
        }
        for (Served served : disks.reversed()) {
            try {
                toolstack.detach(served.device(), false);
                served.xbd().awaitEnd(END_PATIENCE);
            } catch (XenException e) {
                failure = e;
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        if (backend != null) {
            backend.close(); // the stores are flushed and closed here if the guests did not let go in time
        }
        disks.forEach(served -> served.xbd().close());
        loops.values().forEach(EventLoop::close);
        xen.close();
        if (failure != null) {
            throw failure;
        }
    }

    private void begin() throws XenException, InterruptedException {
        announcer.log("XENSTORED_PATH=" + xen.storeSocket().toAbsolutePath());
        BlockBackend started = BlockBackend.start(
                xen.domain0(),
                BlockBackend.KIND,
                plan.offers(),
                this::loopOf,
                DiskSource.TARGETS,
                new BlockEvents(announcer)::on);
        backend = started;
        List<NbdExport> exports = new ArrayList<>();
        for (DiskSpec spec : plan.disks()) {
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
            exports.add(attach(spec, started));
        }
        for (SocketAddress address : plan.nbdAddresses()) {
            servers.add(
                    address instanceof UnixDomainSocketAddress unix
                            ? NbdServer.start(unix.getPath(), exports)
                            : NbdServer.start((InetSocketAddress) address, exports));
        }
        nics.begin(this::guest);
        for (NbdServer server : servers) {
            for (Served served : disks) {
                announcer.tell(new ServeEvent.Export(
                        served.xbd().name(),
                        served.row().name(),
                        served.spec().vdev(),
                        served.spec().guestDomid(),
                        served.xbd().sizeBytes(),
                        served.xbd().readOnly(),
                        server.uri(served.xbd().name()).toString()));
            }
        }
    }

    private NbdExport attach(DiskSpec spec, BlockBackend serving) throws XenException {
        Domain guest = guest(spec.guestDomid());
        Toolstack.Device device = device(spec);
        String name = "xbd" + disks.size();
        String backendName =
                BlockBackend.interfaceName(spec.guestDomid(), spec.vdev().number());
        EventLoop loop = EventLoop.start(name, plan.io());
        loops.put(backendName, loop);
        StorePath frontend = toolstack.attach(device);
        Xbd xbd = Xbd.start(name, guest, frontend, FRONTEND, List.of(loop));
        BlockBackend.Row row = serving.devices().stream()
                .filter(each -> each.name().equals(backendName))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException(backendName + " is connected and not listed"));
        disks.add(new Served(spec, device, xbd, loop, row));
        Disk withHoles = new ExtentsFrom(xbd, row.disk());
        return new NbdExport(name, spec.title() + ", " + backendName, withHoles, loop);
    }

    private Domain guest(int domid) throws XenException {
        Domain guest = guests.get(domid);
        if (guest == null) {
            long itsDisks = plan.disks().stream()
                    .filter(spec -> spec.guestDomid() == domid)
                    .count();
            int pages = (int) itsDisks * FRONTEND.guestPages() + EmbeddedNics.guestPages(plan, domid);
            guest = xen.createDomain(domid, pages);
            guests.put(domid, guest);
            toolstack.createHome(domid, "guest" + domid);
        }
        return guest;
    }

    /** What libxl writes for {@code disk=[...]} with backendtype phy (facts of libxl_disk.c). */
    private static Toolstack.Device device(DiskSpec spec) {
        SequencedMap<String, String> backend = new LinkedHashMap<>();
        backend.put("params", spec.params());
        backend.put("removable", "0");
        backend.put("bootable", "1");
        backend.put("dev", spec.vdev().name());
        backend.put("type", "phy");
        backend.put("mode", spec.readOnly() ? "r" : "w");
        backend.put("device-type", spec.type().toString());
        backend.put("discard-enable", spec.discard() ? "1" : "0");
        backend.put("specification", "xen");
        if (spec.cache() == CachePolicy.DIRECT) {
            backend.put("direct-io-safe", "1");
        }
        if (spec.ownSectorSize()) {
            backend.put(BlockBackend.OWN_SECTOR_SIZE, "1"); // libxl has no word for it
        }
        int vdev = spec.vdev().number();
        SequencedMap<String, String> frontend = new LinkedHashMap<>();
        frontend.put("virtual-device", Integer.toString(vdev));
        frontend.put("device-type", spec.type().toString());
        return new Toolstack.Device(BlockBackend.KIND, "vbd", 0, spec.guestDomid(), vdev, backend, frontend);
    }

    /** A hand-over between two threads costs more than both ends' work for a request (bench/README.md). */
    private LoopSource.Lease loopOf(String interfaceName, int queue) throws XenException {
        EventLoop loop = loops.get(interfaceName);
        if (loop == null) {
            throw new XenException(Errno.ENODEV, interfaceName + ": not a device of this program");
        }
        return new LoopSource.Lease(loop, true);
    }

    private static void closeAfterFailure(@Nullable EmbeddedServing serving, Exception reason) {
        if (serving != null) {
            try {
                serving.close();
            } catch (IOException e) {
                reason.addSuppressed(e);
            }
        }
    }
}
