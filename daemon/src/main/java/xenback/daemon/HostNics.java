package xenback.daemon;

import java.util.List;
import java.util.Optional;
import xenback.net.backend.NetBackend;
import xenback.net.backend.NetOptions;
import xenback.net.link.CapturedLink;
import xenback.net.link.TapLink;
import xenback.net.packet.Mac;
import xenback.xen.Errno;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;

/** Interfaces served to the guests of a host: each is a TAP under the name that the toolstack's scripts expect. */
final class HostNics {
    /** So that no bridge takes it for the address of its own (as Linux' netback). */
    private static final Mac MAC = new Mac(0xFEFFFFFFFFFFL);

    private HostNics() {}

    static NetBackend start(Xen xen, ServePlan plan, Announcer announcer) throws XenException {
        NetOptions options = NetOptions.usual();
        return NetBackend.start(
                xen,
                options,
                LoopSource.own(plan.io()),
                (_, backend) -> open(backend, options.maxQueues()),
                new NetEvents(announcer)::on);
    }

    /** {@code vif1.0} for {@code backend/vif/1/0}; its script puts it on a bridge and switches it on. */
    private static CapturedLink open(StorePath backend, int queues) throws XenException {
        Optional<String> taken = HostServing.takenByKernel(NetBackend.KIND);
        if (taken.isPresent()) { // loaded since we began
            throw new XenException(Errno.EBUSY, taken.get());
        }
        TapLink tap = TapLink.open("vif" + backend.parent().key() + "." + backend.key(), queues);
        try {
            tap.setMac(MAC);
            tap.setCarrier(false);
            return new CapturedLink(tap);
        } catch (XenException e) {
            tap.close();
            throw e;
        }
    }

    static List<NicView> views(NetBackend backend) {
        return backend.interfaces().stream()
                .map(row -> new NicView(row.name(), "", "tap " + row.link().name(), backend, row))
                .toList();
    }
}
