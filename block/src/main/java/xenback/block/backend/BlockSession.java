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
 * nothing of an old one can be reached by accident (XSA-350). Owns its loop, its Arena, the ring's mapping and the event
 * channels; all are given back by {@link #close}, in the order that the kernel wants.
 */
final class BlockSession {
    private final Arena arena = Arena.ofShared();
    private final EventLoop loop;
    private final BlkifParameters parameters;
    private @Nullable EventChannels events;
    private @Nullable GrantTable grants;
    private @Nullable GrantMapping ringPages;
    private @Nullable DiskQueue diskQueue;
    private @Nullable BlockQueue queue;
    private int port;

    private BlockSession(String name, EventLoop.Engine engine, BlkifParameters parameters) throws XenException {
        this.parameters = parameters;
        loop = EventLoop.start(name, engine);
    }

    /** Maps the ring, binds the port and makes the queue, which does not serve yet. */
    static BlockSession open(
            String name,
            Xen xen,
            int guestDomid,
            BlkifParameters parameters,
            Disk disk,
            EventLoop.Engine engine,
            BlockCounters counters,
            BackendDriver.Broken onBroken)
            throws XenException {
        BlockSession session = new BlockSession(name, engine, parameters);
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
            loop.execute(ready::begin);
        }
    }

    /** Waits for requests in flight, then gives everything back. Never waits for the guest. */
    void close() {
        BlockQueue running = queue;
        if (running != null) {
            CompletableFuture<Boolean> idle = new CompletableFuture<>();
            loop.execute(() -> running.drain(() -> idle.complete(true)));
            idle.join();
        }
        DiskQueue open = diskQueue;
        if (open != null) {
            CompletableFuture<Boolean> closed = new CompletableFuture<>();
            loop.execute(() -> {
                open.close();
                closed.complete(true);
            });
            closed.join();
        }
        loop.close();
        if (events != null) {
            events.close();
        }
        if (ringPages != null) {
            ringPages.close(); // after the loop: nobody touches the ring any more
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
        DiskQueue opened = loop.call(() -> disk.openQueue(loop));
        diskQueue = opened;
        BackRing ring = new BackRing(mapping.memory(), parameters.abi().layout().requestBytes());
        BlockConnection connection =
                new BlockConnection(name, guestDomid, parameters.abi(), loop, channels, port, grantTable);
        queue = new BlockQueue(connection, ring, disk, opened, arena, counters, onBroken);
    }
}
