package xenback.block.backend;

import java.util.List;
import xenback.block.HostileRing;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Offered;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;

/**
 * One guest's ring, its disk, and the backend's session between them. What a frontend and a backend tell each other through the
 * store is left out, for it is a hundred times the work of what they tell each other here, and has targets of its own.
 */
final class RingDevice {
    private static final int VDEV = 51712;
    private static final int INDIRECT_SEGMENTS = 1024;

    final HostileRing ring;
    final ScriptedDisk disk;
    final Abi abi;
    final BlockCounters counters = new BlockCounters();
    private final BlockSession.Setting setting;
    private final boolean persistent;
    private BlockSession session;

    /** Why the backend gave up the ring; null while it has not. On the loop. */
    private String brokenBecause;

    RingDevice(Xen backend, Domain guest, EventLoop loop, Abi abi, boolean persistent, Runnable onDisk)
            throws XenException {
        ring = new HostileRing(guest, VDEV, abi);
        disk = new ScriptedDisk(persistent, onDisk);
        this.abi = abi;
        this.persistent = persistent;
        LoopSource.Lease lease = new LoopSource.Lease(loop, true);
        setting = new BlockSession.Setting(
                BlockBackend.interfaceName(guest.domid(), VDEV),
                backend,
                guest.domid(),
                disk,
                new Offered(true, true, true, true, INDIRECT_SEGMENTS),
                (name, queue) -> lease,
                counters,
                new Ties());
        connect();
    }

    /** Ends the session; fails if it leaves a page in use. Not on the loop. */
    void disconnect() {
        session.close();
        ring.takeBack();
    }

    /** A new session over new pages. Not on the loop. */
    void connect() throws XenException {
        ring.prepare();
        brokenBecause = null;
        session = BlockSession.open(
                setting,
                new BlkifParameters(
                        List.of(new BlkifParameters.Ring(List.of(ring.ringGref()), ring.port())), abi, persistent));
        session.begin();
    }

    boolean isBroken() {
        return brokenBecause != null;
    }

    String brokenBecause() {
        return String.valueOf(brokenBecause);
    }

    private final class Ties implements BlockSession.Ties {
        @Override
        public void broken(String why) {
            brokenBecause = why;
        }

        @Override
        public void withdraw(BlockFeature feature) {
            throw new AssertionError(feature + " was withdrawn, and the disk has it");
        }
    }
}
