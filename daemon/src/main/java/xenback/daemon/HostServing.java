package xenback.daemon;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import xenback.block.backend.BlockBackend;
import xenback.block.disk.DiskSource;
import xenback.net.backend.NetBackend;
import xenback.xen.XenException;
import xenback.xen.host.HostXen;
import xenback.xen.io.LoopSource;

/** Disks and interfaces served to the guests of the Xen that this machine is a domain of; which ones, the toolstack writes. */
final class HostServing implements Serving {
    /** Where the kernel's own backends are while they are loaded; each takes every device of its kind. */
    private static final Path KERNEL_BACKENDS = Path.of("/sys/bus/xen-backend/drivers");

    private final HostXen xen;
    private @Nullable NetBackend net;
    private final List<BlockBackend> backends = new ArrayList<>();

    private static final Map<String, String> KERNEL_MODULES =
            Map.of(BlockBackend.KIND, "xen-blkback", NetBackend.KIND, "xen-netback");

    private HostServing(HostXen xen) {
        this.xen = xen;
    }

    /** A {@link Serving.Starter}. */
    static Serving start(ServePlan plan, RunDir runDir, Announcer announcer) throws UserError {
        for (String kind : plan.kinds()) {
            Optional<String> taken = takenByKernel(kind);
            if (taken.isPresent()) {
                throw UserError.failure(taken.get());
            }
        }
        try {
            HostServing serving = new HostServing(HostXen.open());
            try {
                serving.begin(plan, announcer);
                return serving;
            } catch (XenException e) {
                serving.close();
                throw e;
            }
        } catch (XenException e) {
            throw UserError.failure(Reason.line(e), e);
        }
    }

    /** Says that the kernel's own backend is loaded, with the remedy; empty if it is not. */
    static Optional<String> takenByKernel(String kind) {
        String module = KERNEL_MODULES.get(kind);
        if (module == null || !Files.exists(KERNEL_BACKENDS.resolve(kind))) {
            return Optional.empty();
        }
        return Optional.of(module + " is loaded here and takes every device of backend/" + kind
                + "; unload it (modprobe -r " + module + ", and blacklist it) or "
                + (kind.equals(BlockBackend.KIND) ? "serve another kind (--kind qdisk)" : "leave out --kind " + kind));
    }

    private void begin(ServePlan plan, Announcer announcer) throws XenException {
        BlockEvents events = new BlockEvents(announcer);
        for (String kind : plan.kinds()) {
            if (kind.equals(NetBackend.KIND)) {
                net = HostNics.start(xen, plan, announcer);
                announcer.log("serving backend/" + kind + " of domain " + xen.domid());
                continue;
            }
            backends.add(BlockBackend.start(
                    xen, kind, plan.offers(), LoopSource.own(plan.io()), DiskSource.TARGETS, events::on));
            announcer.log("serving backend/" + kind + " of domain " + xen.domid());
        }
    }

    @Override
    public List<DiskCounts> counts() {
        return backends.stream()
                .flatMap(backend -> backend.devices().stream())
                .map(row -> DiskCounts.of(row.name(), row))
                .toList();
    }

    @Override
    public List<DiskView> disks() {
        return backends.stream()
                .flatMap(backend -> backend.devices().stream().map(row -> new DiskView(row.name(), backend, row)))
                .toList();
    }

    @Override
    public List<NicView> nics() {
        NetBackend running = net;
        return running == null ? List.of() : HostNics.views(running);
    }

    @Override
    public void awaitFailure() throws InterruptedException {
        new CountDownLatch(1).await(); // a lost xenstored is waited for, and the guests' disks need none
    }

    /** Requests in flight are answered and the stores are flushed; guests that are still connected wait from then on. */
    @Override
    public void close() {
        backends.forEach(BlockBackend::close);
        if (net != null) {
            net.close();
        }
        xen.close();
    }
}
