package xenback.daemon;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
import xenback.xen.store.XenStore;

/** Interfaces served to the guests of a host: each is a TAP under the name that the toolstack's scripts expect. */
final class HostNics {
    /** So that no bridge takes it for the address of its own (as Linux' netback). */
    private static final Mac MAC = new Mac(0xFEFFFFFFFFFFL);

    private static final Path DEVICES = Path.of("/sys/class/net");

    private HostNics() {}

    static NetBackend start(Xen xen, ServePlan plan, Announcer announcer) throws XenException {
        NetOptions options = plan.nicOffers();
        return NetBackend.start(
                xen,
                options,
                LoopSource.own(plan.io()),
                (_, backend) -> open(xen, backend, options.maxQueues()),
                new NetEvents(announcer)::on);
    }

    /** {@code vif1.0} for {@code backend/vif/1/0}; its script puts it on a bridge and switches it on. */
    private static CapturedLink open(Xen xen, StorePath backend, int queues) throws XenException {
        Optional<String> taken = HostServing.takenByKernel(NetBackend.KIND);
        if (taken.isPresent()) { // loaded since we began
            throw new XenException(Errno.EBUSY, taken.get());
        }
        String name = "vif" + backend.parent().key() + "." + backend.key();
        TapLink tap = TapLink.open(xen.domid() == 0 ? name : named(xen.store(), backend, name), queues);
        try {
            tap.setMac(MAC);
            tap.setCarrier(false);
            if (xen.domid() != 0) {
                bridge(tap, xen.store(), backend);
            }
            return new CapturedLink(tap);
        } catch (XenException e) {
            tap.close();
            throw e;
        }
    }

    /**
     * In a driver domain the name that {@code vifname=} gives, which Xen's scripts change the usual one to in domain 0. They leave a
     * device alone that has it.
     */
    static String named(XenStore store, StorePath backend, String usual) throws XenException {
        return store.read(backend.child("vifname"))
                .filter(name -> !name.isEmpty())
                .orElse(usual);
    }

    /**
     * In a driver domain does what vif-bridge does, libxl's script unless another is named: libxl runs scripts in its own domain
     * alone (device_hotplug of libxl_device.c). Beside {@code xl devd}, which runs them in the others, it does no harm, as both do
     * the same. What another script would do is left to xl devd.
     */
    static void bridge(TapLink tap, XenStore store, StorePath backend) throws XenException {
        if (!store.read(backend.child("script")).orElse("").endsWith("/vif-bridge")) {
            return;
        }
        String bridge = store.read(backend.child("bridge")).orElse("");
        if (!bridge.matches("[^/ ]+") || !Files.exists(DEVICES.resolve(bridge).resolve("bridge"))) {
            throw new XenException(
                    Errno.ENODEV,
                    "no bridge '" + bridge + "' in this driver domain; make it with: ip link add " + bridge
                            + " type bridge");
        }
        tap.setMtu(mtu(bridge)); // a node mtu has the last word
        IpTool.run(Optional.empty(), "link", "set", tap.name(), "master", bridge);
        tap.up();
    }

    private static int mtu(String device) throws XenException {
        try {
            return Integer.parseInt(
                    Files.readString(DEVICES.resolve(device).resolve("mtu")).strip());
        } catch (IOException e) {
            throw new XenException(Errno.EIO, device + ": its MTU cannot be read: " + e.getMessage(), e);
        }
    }

    static List<NicView> views(NetBackend backend) {
        return backend.interfaces().stream()
                .map(row -> new NicView(row.name(), "", "tap " + row.link().name(), backend, row))
                .toList();
    }
}
