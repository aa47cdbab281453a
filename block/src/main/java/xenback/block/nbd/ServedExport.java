package xenback.block.nbd;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import xenback.block.disk.DiskQueue;
import xenback.xen.XenException;
import xenback.xen.io.Sockets;

/**
 * One export while the server runs: its one disk queue, its buffers and its connections, all owned by the export's loop.
 * One queue for all connections, so that a flush on any covers the writes of all (NBD_FLAG_CAN_MULTI_CONN).
 */
final class ServedExport {
    private final NbdExport export;
    private final Runnable onLeft;
    private final NbdCounters counters = new NbdCounters();
    private final NbdBufferPool pool = new NbdBufferPool();
    private final List<NbdConnection> connections = new ArrayList<>();
    private final DiskQueue queue;
    private boolean draining;

    private ServedExport(NbdExport export, DiskQueue queue, Runnable onLeft) {
        this.export = export;
        this.queue = queue;
        this.onLeft = onLeft;
    }

    /**
     * Opens the disk's queue on the export's loop.
     *
     * @param onLeft called on that loop after each connection's end
     */
    static ServedExport open(NbdExport export, Runnable onLeft) throws XenException {
        return export.loop().call(() -> new ServedExport(export, export.disk().openQueue(export.loop()), onLeft));
    }

    NbdExport export() {
        return export;
    }

    NbdCounters counters() {
        return counters;
    }

    NbdBufferPool pool() {
        return pool;
    }

    /** Takes over a socket whose handshake is done, with requests that arrived early. On the loop. */
    void adopt(int fd, NbdAgreement agreement, MemorySegment early, long offset, int bytes) {
        if (draining) {
            Sockets.close(fd);
            onLeft.run();
            return;
        }
        NbdConnection connection;
        try {
            connection = new NbdConnection(this, queue, fd, agreement);
        } catch (OutOfMemoryError e) { // native memory: the newcomer goes, who is here stays
            counters.dropConnection();
            Sockets.close(fd);
            onLeft.run();
            return;
        }
        connections.add(connection);
        counters.connected(1);
        connection.start(early, offset, bytes);
    }

    /** A connection has given everything back. */
    void left(NbdConnection connection) {
        connections.remove(connection);
        counters.connected(-1);
        onLeft.run();
    }

    /** Ends all connections after their running requests; takes no more. On the loop. */
    void drain() {
        draining = true;
        for (NbdConnection connection : List.copyOf(connections)) {
            connection.drain();
        }
    }

    /** Ends all connections after their disk operations, whether the clients take the replies or not. On the loop. */
    void end() {
        for (NbdConnection connection : List.copyOf(connections)) {
            connection.end();
        }
    }

    /** Gives queue and buffers back; false if a connection still waits for the disk. On the loop. */
    boolean close() {
        if (!connections.isEmpty()) {
            return false;
        }
        queue.close();
        pool.close();
        return true;
    }
}
