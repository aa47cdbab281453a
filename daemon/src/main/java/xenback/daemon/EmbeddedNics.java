package xenback.daemon;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import xenback.net.backend.NetBackend;
import xenback.net.backend.NetOptions;
import xenback.net.frontend.Xn;
import xenback.net.link.CapturedLink;
import xenback.net.link.Hub;
import xenback.net.link.Link;
import xenback.net.link.LoopLink;
import xenback.net.link.NullLink;
import xenback.net.link.PcapLink;
import xenback.net.link.TapLink;
import xenback.net.packet.Mac;
import xenback.xen.Errno;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.io.NetworkNamespace;
import xenback.xen.store.StorePath;

/**
 * Interfaces served with no hypervisor: xnb in domain 0, an xn in a guest for every interface that was asked for, whose frames
 * go to and come from a TAP of its own, and what the backend's end leads to. Both ends share a loop per queue.
 */
final class EmbeddedNics {
    /** So that no bridge takes it for the address of its own (as Linux' netback). */
    private static final Mac HOST_MAC = new Mac(0xFEFFFFFFFFFFL);

    private static final Duration END_PATIENCE = Duration.ofSeconds(5);

    /** What belongs to one interface, in the order in which it is made. */
    private static final class Served {
        final NicSpec spec;
        final String name;
        final List<EventLoop> loops = new ArrayList<>();

        @Nullable
        CapturedLink hostLink;

        @Nullable
        TapLink guestLink;

        Toolstack.@Nullable Device device;

        @Nullable
        Xn xn;

        @Nullable
        NicScript script; // once it has run

        Served(NicSpec spec, String name) {
            this.spec = spec;
            this.name = name;
        }
    }

    private final List<NicSpec> specs;
    private final Optional<String> guestNamespace;
    private final EventLoop.Engine io;
    private final Announcer announcer;
    private final Xen xen;
    private final Path storeSocket;
    private final Toolstack toolstack;
    private final List<Served> all = new ArrayList<>();
    private final Map<String, Served> byInterface = new ConcurrentHashMap<>();
    private final Map<String, Hub> hubs = new HashMap<>();
    private @Nullable NetBackend backend;

    EmbeddedNics(ServePlan plan, Announcer announcer, Xen xen, Path storeSocket, Toolstack toolstack) {
        specs = plan.nics();
        guestNamespace = plan.guestNamespace();
        io = plan.io();
        this.announcer = announcer;
        this.xen = xen;
        this.storeSocket = storeSocket;
        this.toolstack = toolstack;
    }

    /** How many pages of its domain the interfaces of a guest take. */
    static int guestPages(ServePlan plan, int domid) {
        return plan.nics().stream()
                .filter(nic -> nic.guestDomid() == domid)
                .mapToInt(nic -> Xn.guestPages(nic.queues()))
                .sum();
    }

    /** Finds or makes a guest. */
    @FunctionalInterface
    interface Guests {
        Domain guest(int domid) throws XenException;
    }

    void begin(Guests guests) throws XenException, InterruptedException {
        if (specs.isEmpty()) {
            return;
        }
        int queues = specs.stream().mapToInt(NicSpec::queues).max().orElse(1);
        NetBackend started = NetBackend.start(
                xen, NetOptions.usual().withQueues(queues), this::loopOf, this::linkOf, new NetEvents(announcer)::on);
        backend = started;
        for (NicSpec spec : specs) {
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
            attach(spec, guests.guest(spec.guestDomid()));
        }
        for (Served served : all) {
            announcer.tell(new ServeEvent.Cable(
                    served.name,
                    served.spec.interfaceName(),
                    served.spec.guestDomid(),
                    served.spec.mac().toString(),
                    served.spec.mtu(),
                    where(served.spec),
                    guestNamespace.orElse(""),
                    served.spec.addresses()));
        }
    }

    private void attach(NicSpec spec, Domain guest) throws XenException {
        Served served = new Served(spec, spec.guestName().orElse("xn" + all.size()));
        all.add(served);
        for (int i = 0; i < spec.queues(); i++) {
            served.loops.add(EventLoop.start(served.name + (i == 0 ? "" : "-" + i), io));
        }
        served.hostLink = new CapturedLink(openHostLink(spec));
        TapLink guestLink = openGuestLink(served.name, spec);
        served.guestLink = guestLink;
        byInterface.put(spec.interfaceName(), served);
        Toolstack.Device device = device(spec);
        served.device = device;
        StorePath frontend = toolstack.attach(device);
        served.xn = Xn.start(served.name, guest, frontend, guestLink, served.loops);
    }

    private Link openHostLink(NicSpec spec) throws XenException {
        String name = spec.interfaceName();
        Link link = switch (spec.link()) {
            case LinkSpec.Tap tap -> openTap(spec);
            case LinkSpec.Pcap pcap -> PcapLink.open(name, pcap.file());
            case LinkSpec.HubOf hub ->
                hubs.computeIfAbsent(hub.name(), _ -> new Hub()).plug(name);
            case LinkSpec.Nowhere nowhere -> new NullLink(name);
            case LinkSpec.Back back -> new LoopLink(name);
        };
        try {
            link.setMtu(spec.mtu());
            return link;
        } catch (XenException e) {
            link.close();
            throw e;
        }
    }

    private static TapLink openTap(NicSpec spec) throws XenException {
        TapLink tap = TapLink.open(spec.tapName(), spec.queues());
        try {
            tap.setMac(HOST_MAC);
            tap.setMtu(spec.mtu());
            if (spec.script().isEmpty()) {
                if (spec.bridge().isPresent()) {
                    IpTool.run(
                            Optional.empty(),
                            "link",
                            "set",
                            tap.name(),
                            "master",
                            spec.bridge().get());
                }
                for (String address : spec.hostAddresses()) {
                    IpTool.run(Optional.empty(), "address", "add", address, "dev", tap.name());
                }
                tap.up();
            }
            return tap;
        } catch (XenException e) {
            tap.close();
            throw e;
        }
    }

    private TapLink openGuestLink(String name, NicSpec spec) throws XenException {
        TapLink tap = guestNamespace.isPresent()
                ? TapLink.open(name, spec.queues(), NetworkNamespace.named(guestNamespace.get()))
                : TapLink.open(name, spec.queues());
        try {
            tap.setMac(spec.mac());
            tap.setMtu(spec.mtu());
            for (String address : spec.addresses()) {
                IpTool.run(guestNamespace, "address", "add", address, "dev", name);
            }
            tap.up();
            return tap;
        } catch (XenException e) {
            tap.close();
            throw e;
        }
    }

    /** The nodes are there by now, so this is where the toolstack's script has its turn. On a control thread. */
    private Link linkOf(String interfaceName, StorePath backendPath) throws XenException {
        Served served = byInterface.get(interfaceName);
        CapturedLink link = served == null ? null : served.hostLink;
        if (served == null || link == null) {
            throw new XenException(Errno.ENODEV, interfaceName + ": not an interface of this program");
        }
        NicSpec spec = served.spec;
        if (spec.script().isPresent() && served.script == null) {
            String xenbusPath =
                    "backend/vif/" + spec.guestDomid() + "/" + spec.devid().orElseThrow();
            NicScript script = new NicScript(
                    spec.script().get(),
                    storeSocket,
                    xenbusPath,
                    link.name(),
                    Optional.ofNullable(spec.others().get("gatewaydev")));
            script.online();
            served.script = script;
        }
        return link;
    }

    private LoopSource.Lease loopOf(String interfaceName, int queue) throws XenException {
        Served served = byInterface.get(interfaceName);
        if (served == null || queue >= served.loops.size()) {
            throw new XenException(Errno.ENODEV, interfaceName + ": has no queue " + queue);
        }
        return new LoopSource.Lease(served.loops.get(queue), true);
    }

    /** What libxl writes for {@code vif=[...]} (facts of libxl_nic.c). */
    private static Toolstack.Device device(NicSpec spec) {
        int devid = spec.devid().orElseThrow();
        SequencedMap<String, String> backend = new LinkedHashMap<>();
        spec.script().ifPresent(script -> backend.put("script", script.toString()));
        if (!spec.addresses().isEmpty()) {
            // Scripts want them bare, for their filters.
            backend.put("ip", String.join(" ", spec.addresses()).replaceAll("/[0-9]+", ""));
        }
        spec.others().forEach(backend::put);
        spec.rate().ifPresent(rate -> backend.put("rate", rate.node()));
        spec.bridge().ifPresent(bridge -> backend.put("bridge", bridge));
        spec.name().ifPresent(name -> backend.put("vifname", name));
        backend.put("handle", Integer.toString(devid));
        backend.put("mac", spec.mac().toString());
        backend.put("mtu", Integer.toString(spec.mtu()));
        backend.put("type", "vif");
        backend.put("antispoof", spec.antispoof() ? "1" : "0"); // these two are ours
        backend.put("offload", spec.offload() ? "1" : "0");
        SequencedMap<String, String> frontend = new LinkedHashMap<>();
        frontend.put("handle", Integer.toString(devid));
        frontend.put("mac", spec.mac().toString());
        frontend.put("mtu", Integer.toString(spec.mtu()));
        return new Toolstack.Device(NetBackend.KIND, "vif", 0, spec.guestDomid(), devid, backend, frontend);
    }

    private static String where(NicSpec spec) {
        String link = spec.link() instanceof LinkSpec.Tap
                ? "tap " + spec.tapName()
                : spec.link().toString();
        return spec.bridge().map(bridge -> link + " on bridge " + bridge).orElse(link);
    }

    /** The interfaces that are attached. Any thread. */
    List<NicView> views() {
        NetBackend running = backend;
        if (running == null) {
            return List.of();
        }
        List<NicView> views = new ArrayList<>();
        for (NetBackend.Row row : running.interfaces()) {
            Served served = byInterface.get(row.name());
            if (served != null) {
                views.add(new NicView(served.name, served.spec.mac().toString(), where(served.spec), running, row));
            }
        }
        return views;
    }

    /** Detaches all interfaces, and gives everything back. The first failure is thrown at the end. */
    void close() throws IOException {
        IOException failure = null;
        for (Served served : all.reversed()) {
            try {
                if (served.script != null) {
                    served.script.offline();
                }
                if (served.device != null) {
                    toolstack.detach(served.device, false);
                }
                if (served.xn != null) {
                    served.xn.awaitEnd(END_PATIENCE);
                }
            } catch (XenException e) {
                failure = e;
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        if (backend != null) {
            backend.close();
        }
        for (Served served : all) {
            if (served.xn != null) {
                served.xn.close();
            }
            served.loops.forEach(EventLoop::close);
            if (served.guestLink != null) {
                served.guestLink.close();
            }
            if (served.hostLink != null) {
                served.hostLink.close(); // closed by the backend already, unless it never came to that
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}
