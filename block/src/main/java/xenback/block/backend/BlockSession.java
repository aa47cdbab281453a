package xenback.block.backend;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.block.protocol.Offered;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.ring.BackRing;

/**
 * One connected life of a device, from the mapping of its rings to the last response. A new connection is a new session:
 * nothing of an old one can be reached by accident (XSA-350). Owns its Arena and, per queue, the ring's mapping, the event
 * channels and, unless it is shared, the loop; all are given back by {@link #close}, in the order that the kernel wants.
 */
final class BlockSession {
    /** What a queue tells its device. Any thread, never blocks. */
    interface Ties {
        /** The guest has broken its ring; the session cannot go on. */
        void broken(String why);

        /** The store cannot do what was offered. */
        void withdraw(BlockFeature feature);
    }

    /**
     * What a session is made of.
     *
     * @param name the interface, {@code xbdback1i51712}
     */
    record Setting(
            String name,
            Xen xen,
            int guestDomid,
            Disk disk,
            Offered offered,
            LoopSource loops,
            BlockCounters counters,
            Ties ties) {}

    private static final int PICTURE_SECONDS = 2;

    /** A guest that has closed is looked at every so often, for ten seconds at most, and until it has sent nothing for a tenth of one. */
    private static final int LOOK_MILLIS = 20;

    private static final int MOST_LOOKS = 500;
    private static final int LOOKS_IN_VAIN = 5;

    private final Arena arena = Arena.ofShared();
    private final Setting setting;
    private final BlkifParameters parameters;
    private final List<Served> queues = new ArrayList<>();

    private BlockSession(Setting setting, BlkifParameters parameters) {
        this.setting = setting;
        this.parameters = parameters;
    }

    /** Maps the rings, binds the ports and makes the queues, which do not serve yet. */
    static BlockSession open(Setting setting, BlkifParameters parameters) throws XenException {
        BlockSession session = new BlockSession(setting, parameters);
        try {
            for (BlkifParameters.Ring ring : parameters.rings()) {
                Served served = session.new Served(session.queues.size());
                session.queues.add(served);
                served.connect(ring);
            }
            return session;
        } catch (XenException e) {
            session.close();
            throw e;
        }
    }

    /** Our end of the first queue's event channel. */
    int port() {
        return queues.getFirst().port;
    }

    BlkifParameters parameters() {
        return parameters;
    }

    /** Starts to serve. */
    void begin() {
        queues.forEach(served -> served.run(BlockQueue::begin));
    }

    /** What is due about once a second. */
    void keepHouse() {
        queues.forEach(served -> served.run(BlockQueue::keepHouse));
    }

    /** The rings in words, an entry for each queue. Waits a while for the queues' threads, so it is not for a loop's own. */
    List<String> pictures() {
        List<CompletableFuture<String>> pictures = new ArrayList<>();
        for (Served served : queues) {
            CompletableFuture<String> picture = new CompletableFuture<>();
            pictures.add(picture);
            served.run(queue -> {
                try {
                    picture.complete(queue.toString());
                } catch (IllegalStateException e) {
                    picture.complete("the ring is given back");
                }
            });
        }
        return pictures.stream()
                .map(picture -> picture.completeOnTimeout("no answer", PICTURE_SECONDS, TimeUnit.SECONDS)
                        .join())
                .toList();
    }

    /**
     * Serves on until the guest has nothing more for us. Linux' blkfront says 6 with requests under way, and with others that get
     * their places on the ring as those are answered; if one stays without an answer, del_gendisk waits for it for ever, and with it
     * the thread by which that guest adds and removes devices of any kind (seen with 6.1.176).
     */
    void serveOut() {
        BlockCounters counters = setting.counters();
        long requests = counters.requests();
        int inVain = counters.inFlight() == 0 ? LOOKS_IN_VAIN - 1 : 0; // a disk at rest is not held up
        for (int look = 0; look < MOST_LOOKS && inVain < LOOKS_IN_VAIN; look++) {
            try {
                Thread.sleep(LOOK_MILLIS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
            long before = requests;
            requests = counters.requests();
            inVain = requests == before && counters.inFlight() == 0 ? inVain + 1 : 0;
        }
    }

    /** Waits for requests in flight, then gives everything back. Never waits for the guest. */
    void close() {
        List<CompletableFuture<Boolean>> drains =
                queues.stream().map(Served::drain).toList();
        drains.forEach(CompletableFuture::join);
        queues.forEach(Served::close);
        arena.close();
    }

    /** A queue and what it stands on. */
    private final class Served {
        private final int number;
        private LoopSource.@Nullable Lease lease;
        private @Nullable EventChannels events;
        private @Nullable GrantTable grants;
        private @Nullable GrantMapping ringPages;
        private @Nullable BlockQueue queue;
        private int port;

        Served(int number) {
            this.number = number;
        }

        void connect(BlkifParameters.Ring ring) throws XenException {
            LoopSource.Lease taken = setting.loops().take(setting.name(), number);
            lease = taken;
            int guest = setting.guestDomid();
            GrantTable grantTable = setting.xen().openGrantTable();
            grants = grantTable;
            GrantMapping mapping = grantTable.map(
                    guest, ring.grefs().stream().mapToInt(Integer::intValue).toArray(), true);
            ringPages = mapping;
            EventChannels channels = setting.xen().openEventChannels(guest);
            events = channels;
            port = channels.bindInterdomain(guest, ring.eventPort());
            EventLoop loop = taken.loop();
            Disk disk = setting.disk();
            DiskQueue diskQueue = loop.call(() -> disk.openQueue(loop));
            BackRing back =
                    new BackRing(mapping.memory(), parameters.abi().layout().requestBytes());
            BlockConnection connection = new BlockConnection(
                    setting.name(),
                    guest,
                    parameters.abi(),
                    setting.offered(),
                    parameters.persistent() && disk.takesGrantedPages(),
                    loop,
                    channels,
                    port,
                    grantTable,
                    setting.ties());
            queue = new BlockQueue(
                    connection, back, disk, diskQueue, arena, setting.counters().queue(number));
        }

        void run(java.util.function.Consumer<BlockQueue> task) {
            BlockQueue ready = queue;
            LoopSource.Lease home = lease;
            if (ready != null && home != null) {
                home.loop().execute(() -> task.accept(ready));
            }
        }

        CompletableFuture<Boolean> drain() {
            CompletableFuture<Boolean> idle = new CompletableFuture<>();
            if (queue == null) {
                idle.complete(true);
            }
            run(running -> running.drain(() -> {
                running.close();
                idle.complete(true);
            }));
            return idle;
        }

        /** After the drain: nobody touches the ring any more. */
        void close() {
            if (lease != null && !lease.shared()) {
                lease.loop().close();
            }
            if (events != null) {
                events.close();
            }
            if (ringPages != null) {
                ringPages.close();
            }
            if (grants != null) {
                grants.close();
            }
        }
    }
}
