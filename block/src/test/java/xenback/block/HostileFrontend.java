package xenback.block;

import java.nio.file.Path;
import xenback.block.backend.BlockBackend;
import xenback.block.backend.BlockCounters;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.xen.XenException;
import xenback.xen.bus.XenbusState;
import xenback.xen.embedded.Domain;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * A whole frontend in the hands of an attacker: a ring that can do anything, and besides any text in any node of its own, at
 * any time.
 */
public final class HostileFrontend extends HostileRing {
    private final Machine machine;
    private final StorePath frontend;
    private final StorePath backend;

    /** Attaches a disk to a guest, up to the backend's state 2 and the end of its hotplug script. */
    public HostileFrontend(Machine machine, Domain guest, int vdev, Path image, String mode, Abi abi)
            throws XenException {
        super(guest, vdev, abi);
        this.machine = machine;
        frontend = machine.toolstack.attach(Machine.vbd(guest.domid(), vdev, image, mode));
        backend = StorePath.of("/local/domain/0/backend/vbd/" + guest.domid() + "/" + vdev);
    }

    /** Writes what an honest frontend writes, without a state. */
    public void publish() throws XenException {
        write("ring-ref", Integer.toUnsignedString(ringGref()));
        write("event-channel", Integer.toString(port()));
        write("protocol", abi.wireName());
    }

    /** The whole way from the backend's 2 to both ends at 4. */
    public void connect() throws Exception {
        awaitBackend(XenbusState.INIT_WAIT);
        prepare();
        publish();
        state(XenbusState.INITIALISED);
        awaitBackend(XenbusState.CONNECTED);
        state(XenbusState.CONNECTED);
    }

    /** Goes back to the beginning as a rebooting guest: 6, the backend's 6, our pages back, 1, the backend's 2. */
    public void reset() throws Exception {
        state(XenbusState.CLOSED);
        awaitBackend(XenbusState.CLOSED);
        takeBack();
        state(XenbusState.INITIALISING);
        awaitBackend(XenbusState.INIT_WAIT);
    }

    /**
     * Begins again without a word, as a guest that was killed: 1, the backend's 2, our pages back. What is on the ring is not
     * waited for by anybody.
     */
    public void restart() throws Exception {
        state(XenbusState.INITIALISING);
        awaitBackend(XenbusState.INIT_WAIT);
        takeBack();
    }

    public void state(XenbusState state) throws XenException {
        write("state", state.text());
    }

    /** Writes any text into a node of the device's directory, with the guest's rights. */
    public void write(String key, String value) throws XenException {
        guest.store().write(frontend.child(key), value);
    }

    public void remove(String key) throws XenException {
        guest.store().remove(frontend.child(key));
    }

    public XenbusState backendState() throws XenException {
        return XenbusState.parse(dom0().read(backend.child("state")).orElse(""));
    }

    public void awaitBackend(XenbusState state) throws Exception {
        Await.until(
                () -> backendState() == state,
                () -> "backend state " + state + ", it is " + backendState() + " with error '" + error() + "'");
    }

    /** What the toolstack would tell its user; empty if nothing went wrong. */
    public String error() throws XenException {
        return dom0().read(errorNode()).orElse("");
    }

    public void forgetError() throws XenException {
        if (dom0().exists(errorNode())) {
            dom0().remove(errorNode());
        }
    }

    /** What the backend has counted for this device. */
    public BlockCounters counters() {
        String name = BlockBackend.interfaceName(guest.domid(), vdev);
        return machine.backend().devices().stream()
                .filter(row -> row.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new AssertionError(name + " is not served"))
                .counters();
    }

    /** An honest read of the first page of the disk, as proof that the device is alive. */
    public boolean works() throws Exception {
        return ask(request(Blkif.OP_READ, 0)) == Blkif.STATUS_OKAY;
    }

    private StorePath errorNode() {
        return StorePath.of("/local/domain/0/error/backend/vbd/" + guest.domid() + "/" + vdev + "/error");
    }

    private XenStore dom0() {
        return machine.xen.domain0().store();
    }
}
