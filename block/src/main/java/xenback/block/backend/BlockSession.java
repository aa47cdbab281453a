package xenback.block.backend;

import java.lang.foreign.Arena;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.bus.BackendDriver;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;
import xenback.xen.ring.BackRing;

/**
 * One connected life of a device, from the mapping of its ring to the last response. A new connection is a new session:
 * nothing of an old one can be reached by accident (XSA-350). Owns its Arena, the ring's mapping, the event channels and,
 * unless it is shared, its loop; all are given back by {@link #close}, in the order that the kernel wants.
 */
final class BlockSession {
    private final Arena arena = Arena.ofShared();
    private final LoopSource.Lease lease;
    private final BlkifParameters parameters;
    private @Nullable EventChannels events;
    private @Nullable GrantTable grants;
    private @Nullable GrantMapping ringPages;
    private @Nullable BlockQueue queue;
    private int port;

    private BlockSession(LoopSource.Lease lease, BlkifParameters parameters) {
        this.parameters = parameters;
        this.lease = lease;
    }

    /** Maps the ring, binds the port and makes the queue, which does not serve yet. */
    static BlockSession open(
            String name,
            Xen xen,
            int guestDomid,
            BlkifParameters parameters,
            Disk disk,
            LoopSource loops,
            BlockCounters counters,
            BackendDriver.Broken onBroken)
            throws XenException {
        BlockSession session = new BlockSession(loops.take(name), parameters);
        try {
            session.connect(name, xen, guestDomid, disk, counters, onBroken);
            return session;
        } catch (XenException e) {
            session.close();
            throw e;
        }
    }

    int port() {
        return port;
    }

    BlkifParameters parameters() {
        return parameters;
    }

    /** Starts to serve. */
    void begin() {
        BlockQueue ready = queue;
        if (ready != null) {
            lease.loop().execute(ready::begin);
        }
    }

    /** Waits for requests in flight, then gives everything back. Never waits for the guest. */
    void close() {
        EventLoop loop = lease.loop();
        BlockQueue running = queue;
        if (running != null) {
            CompletableFuture<Boolean> idle = new CompletableFuture<>();
            loop.execute(() -> running.drain(() -> {
                running.close();
                idle.complete(true);
            }));
            idle.join();
        }
        if (!lease.shared()) {
            loop.close();
        }
        if (events != null) {
            events.close();
        }
        if (ringPages != null) {
            ringPages.close(); // the queue is closed: nobody touches the ring any more
        }
        if (grants != null) {
            grants.close();
        }
        arena.close();
    }

    private void connect(
            String name, Xen xen, int guestDomid, Disk disk, BlockCounters counters, BackendDriver.Broken onBroken)
            throws XenException {
        GrantTable grantTable = xen.openGrantTable();
        grants = grantTable;
        GrantMapping mapping = grantTable.map(guestDomid, new int[] {parameters.ringGref()}, true);
        ringPages = mapping;
        EventChannels channels = xen.openEventChannels(guestDomid);
        events = channels;
        port = channels.bindInterdomain(guestDomid, parameters.eventPort());
        EventLoop loop = lease.loop();
        DiskQueue diskQueue = loop.call(() -> disk.openQueue(loop));
        BackRing ring = new BackRing(mapping.memory(), parameters.abi().layout().requestBytes());
        BlockConnection connection =
                new BlockConnection(name, guestDomid, parameters.abi(), loop, channels, port, grantTable);
        queue = new BlockQueue(connection, ring, disk, diskQueue, arena, counters, onBroken);
    }
}
