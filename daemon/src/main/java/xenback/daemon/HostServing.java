package xenback.daemon;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import xenback.block.backend.BlockBackend;
import xenback.block.backend.LoopSource;
import xenback.block.disk.DiskSource;
import xenback.xen.XenException;
import xenback.xen.host.HostXen;

/** Disks served to the guests of the Xen that this machine is a domain of; which ones, the toolstack writes. */
final class HostServing implements Serving {
    /** There while the kernel's own block backend is loaded; it takes every device of its kind. */
    private static final Path KERNEL_BACKEND = Path.of("/sys/bus/xen-backend/drivers/vbd");

    private final HostXen xen;
    private final List<BlockBackend> backends = new ArrayList<>();

    private HostServing(HostXen xen) {
        this.xen = xen;
    }

    /** A {@link Serving.Starter}. */
    static Serving start(ServePlan plan, RunDir runDir, Announcer announcer) throws UserError {
        if (plan.kinds().contains(BlockBackend.KIND) && Files.exists(KERNEL_BACKEND)) {
            throw UserError.failure(
                    "xen-blkback is loaded here and takes every device of backend/vbd; unload it (modprobe -r"
                            + " xen-blkback, and blacklist it) or serve another kind (--kind qdisk)");
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

    private void begin(ServePlan plan, Announcer announcer) throws XenException {
        BlockEvents events = new BlockEvents(announcer);
        for (String kind : plan.kinds()) {
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
    public void awaitFailure() throws InterruptedException {
        new CountDownLatch(1).await(); // a lost xenstored is waited for, and the guests' disks need none
    }

    /** Requests in flight are answered and the stores are flushed; guests that are still connected wait from then on. */
    @Override
    public void close() {
        backends.forEach(BlockBackend::close);
        xen.close();
    }
}
