package xenback.net.backend;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import xenback.net.link.Link;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.bus.BackendBus;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;

/** xnb: serves every interface below {@code backend/vif} of its domain. */
public final class NetBackend implements AutoCloseable {
    /** The directory of network backends. */
    public static final String KIND = "vif";

    /** Makes the host's end of an interface. */
    @FunctionalInterface
    public interface LinkSource {
        /** @param backend the interface's directory, as the toolstack wrote it */
        Link open(String interfaceName, StorePath backend) throws XenException;
    }

    /**
     * An interface as an observer sees it.
     *
     * @param name {@code xnb1i0}
     */
    public record Row(String name, int domid, int devid, Link link, NetCounters counters) {}

    /** What all interfaces of a backend share. */
    record House(
            Xen xen,
            NetOptions options,
            LoopSource loops,
            LinkSource links,
            NetEvent.Listener listener,
            List<Row> rows,
            Map<String, Vif> vifs) {}

    private final List<Row> rows = new CopyOnWriteArrayList<>();
    private final Map<String, Vif> vifs = new ConcurrentHashMap<>();
    private @Nullable BackendBus bus;

    private NetBackend() {}

    /** Starts to serve in the domain that {@code xen} stands for; each queue lives on a loop from {@code loops}. */
    public static NetBackend start(
            Xen xen, NetOptions options, LoopSource loops, LinkSource links, NetEvent.Listener listener)
            throws XenException {
        NetBackend backend = new NetBackend();
        House house = new House(xen, options, loops, links, listener, backend.rows, backend.vifs);
        backend.bus = BackendBus.start(xen, KIND, address -> new Vif(house, address));
        return backend;
    }

    /** The interfaces whose links are open now. */
    public List<Row> interfaces() {
        return List.copyOf(rows);
    }

    /**
     * The rings of an interface in words, an entry for each queue; none while it is not connected. Any thread but a loop's.
     */
    public List<String> rings(String interfaceName) {
        Vif vif = vifs.get(interfaceName);
        return vif == null ? List.of() : vif.rings();
    }

    /**
     * What the guest has asked for by an interface's control ring, in words: how frames are hashed, and how many of its pages
     * stay mapped for each queue; empty while it is not connected. Any thread but a loop's.
     */
    public String control(String interfaceName) {
        Vif vif = vifs.get(interfaceName);
        return vif == null ? "" : vif.control();
    }

    /** Lets go of every interface. Nothing is said in the store. */
    @Override
    public void close() {
        BackendBus running = bus;
        if (running != null) {
            running.close();
        }
    }

    /** The name of an interface (xnb(4), with the separator of xbdback). */
    public static String interfaceName(int domid, int devid) {
        return "xnb" + domid + "i" + devid;
    }
}
