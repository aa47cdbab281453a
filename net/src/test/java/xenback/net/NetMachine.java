package xenback.net;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.UnaryOperator;
import xenback.net.backend.NetBackend;
import xenback.net.backend.NetCounters;
import xenback.net.backend.NetEvent;
import xenback.net.backend.NetOptions;
import xenback.net.frontend.Xn;
import xenback.net.frontend.XnOptions;
import xenback.net.link.Link;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;

/** A whole machine for tests: the embedded Xen, xnb in domain 0 with links of the test, guests. */
final class NetMachine implements AutoCloseable {
    static final String MAC = "00:16:3e:00:00:01";

    final EmbeddedXen xen;
    final Toolstack toolstack;
    final List<NetEvent> events = new CopyOnWriteArrayList<>();
    private final NetOptions options;
    private final Xen port;
    private final Map<String, Link> links = new ConcurrentHashMap<>();
    private final List<EventLoop> loops = new ArrayList<>();
    private final List<Xn> xns = new ArrayList<>();
    private final List<HostileNetGuest> hostiles = new ArrayList<>();
    private NetBackend backend;

    NetMachine(Path dir, NetOptions options) throws XenException {
        this(dir, options, whole -> whole);
    }

    /** @param hook puts something between the backend and its hypervisor */
    NetMachine(Path dir, NetOptions options, UnaryOperator<Xen> hook) throws XenException {
        this.options = options;
        xen = EmbeddedXen.start(dir.resolve("run"));
        port = hook.apply(xen.domain0());
        toolstack = new Toolstack(xen.domain0().store());
        startBackend();
    }

    private void startBackend() throws XenException {
        backend = NetBackend.start(
                port,
                options,
                LoopSource.own(Engine.AUTO),
                (name, directory) -> links.computeIfAbsent(name, WireLink::new),
                events::add);
    }

    void restartBackend() throws XenException {
        backend.close();
        startBackend();
    }

    /** The host's end of a guest's interface. */
    WireLink link(int domid) {
        return (WireLink) links.computeIfAbsent(NetBackend.interfaceName(domid, 0), WireLink::new);
    }

    /** Gives an interface another link, before it is attached. */
    void setLink(int domid, Link link) {
        links.put(NetBackend.interfaceName(domid, 0), link);
    }

    Domain guest(int domid) throws XenException {
        Domain guest = xen.createDomain(domid, 16_384);
        toolstack.createHome(domid, "guest" + domid);
        return guest;
    }

    /** Makes a guest with a hostile frontend, which this machine closes. */
    HostileNetGuest hostile(int domid, String... backendNodes) throws XenException {
        HostileNetGuest made = new HostileNetGuest(this, guest(domid), backendNodes);
        hostiles.add(made);
        return made;
    }

    /** What libxl would write for {@code vif=['mac=...']}, and more of the backend's nodes. */
    static Toolstack.Device vif(int domid, String... more) {
        SequencedMap<String, String> back = new LinkedHashMap<>();
        back.put("mac", MAC);
        back.put("handle", "0");
        back.put("type", "vif");
        for (int i = 0; i < more.length; i += 2) {
            back.put(more[i], more[i + 1]);
        }
        SequencedMap<String, String> front = new LinkedHashMap<>();
        front.put("handle", "0");
        front.put("mac", MAC);
        return new Toolstack.Device(NetBackend.KIND, "vif", 0, domid, 0, back, front);
    }

    StorePath backendNode(int domid, String key) {
        return StorePath.of("/local/domain/0/backend/vif/" + domid + "/0/" + key);
    }

    /** Starts xn on loops of its own, one for each queue that it may use. */
    Xn startXn(Domain guest, XnOptions xnOptions, Link link, int queues) throws XenException {
        List<EventLoop> own = new ArrayList<>();
        for (int i = 0; i < queues; i++) {
            own.add(EventLoop.start("xn" + guest.domid() + "-" + i, Engine.AUTO));
        }
        loops.addAll(own);
        StorePath frontend = toolstack.attach(vif(guest.domid()));
        Xn xn = Xn.start("xn" + guest.domid(), guest, frontend, xnOptions, link, own);
        xns.add(xn);
        return xn;
    }

    NetCounters counters(int domid) {
        String name = NetBackend.interfaceName(domid, 0);
        return backend.interfaces().stream()
                .filter(row -> row.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new AssertionError(name + " is not served"))
                .counters();
    }

    NetBackend backend() {
        return backend;
    }

    @Override
    public void close() {
        hostiles.forEach(HostileNetGuest::close);
        backend.close();
        xns.forEach(Xn::close);
        loops.forEach(EventLoop::close);
        xen.close();
    }
}
