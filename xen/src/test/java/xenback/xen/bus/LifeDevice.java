package xenback.xen.bus;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import xenback.xen.store.XenStore;

/** What a kind of device has of its own in a {@link LifeWorld}, on both sides. Made for one world, and ended with it. */
public interface LifeDevice extends AutoCloseable {
    /** Something that happens to this kind of device alone. Makes sense in any world, or does nothing in it. */
    interface Step {}

    /** The nodes of both ends, for a device to look at and to change. */
    interface Nodes {
        /** A node of the backend's directory. */
        Optional<String> backend(String key);

        Optional<String> frontend(String key);

        /** The toolstack writes a node of a device that is there. */
        void writeBackend(String key, String value);

        /** The guest writes a node of its device, if it has one. */
        void writeFrontend(String key, String value);
    }

    String kind();

    int devid();

    /** The driver of a process that begins now; empty if {@link ScriptedDriver} alone is the driver. */
    Optional<BackendDriver> driver(XenStore store);

    /** What the toolstack writes beside the nodes of every device. */
    Map<String, String> attached();

    /** Makes rings of the guest. Returns the nodes that tell of them. */
    SequencedMap<String, String> makeRings();

    /** Keys of the frontend's that not every ring has: those of rings before are removed when a guest begins anew. */
    default List<String> keysOfSomeRings() {
        return List.of();
    }

    /** The guest takes its present rings back, or leaves them to its successor when it crashes. */
    void endRings(boolean crashed);

    /** The keys of the frontend's directory that the backend may write while that directory is there. */
    default boolean mayWriteToFrontend(String key) {
        return false;
    }

    void perform(Step step, Nodes nodes);

    /** What disturbs on this side of the store is over, and what the toolstack writes makes sense. */
    void calm(Nodes nodes);

    /** What is wrong with a session at 4 when all are at rest, in words; empty if nothing is. */
    String faultOfSession(Nodes nodes);

    /** The same of the path of a guest's requests, which are tried. */
    String faultOfService();

    /** What is left after the backend has given all back, in words. */
    String leftOver();

    @Override
    void close();
}
