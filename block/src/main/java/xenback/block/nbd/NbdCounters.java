package xenback.block.nbd;

import java.util.concurrent.atomic.AtomicLong;

/**
 * What one export has done. Written by the export's loop alone, readable by any thread at any time; each number is exact,
 * numbers read one after the other need not belong to the same moment.
 */
public final class NbdCounters {
    private final AtomicLong connections = new AtomicLong();
    private final AtomicLong requests = new AtomicLong();
    private final AtomicLong readBytes = new AtomicLong();
    private final AtomicLong writtenBytes = new AtomicLong();
    private final AtomicLong inFlight = new AtomicLong();
    private final AtomicLong errors = new AtomicLong();
    private final AtomicLong dropped = new AtomicLong();

    NbdCounters() {}

    /** Connections in transmission now. */
    public long connections() {
        return connections.getOpaque();
    }

    /** Requests understood since the start, refused ones included. */
    public long requests() {
        return requests.getOpaque();
    }

    /** Bytes that reads brought. */
    public long readBytes() {
        return readBytes.getOpaque();
    }

    /** Bytes that writes stored, zeroes of write-zeroes not counted. */
    public long writtenBytes() {
        return writtenBytes.getOpaque();
    }

    /** Operations that the disk has and has not completed. */
    public long inFlight() {
        return inFlight.getOpaque();
    }

    /** Requests answered with an error. */
    public long errors() {
        return errors.getOpaque();
    }

    /** Connections cut because the client broke the protocol or vanished with work under way. */
    public long dropped() {
        return dropped.getOpaque();
    }

    void connected(int change) {
        add(connections, change);
    }

    void requested() {
        add(requests, 1);
    }

    void started() {
        add(inFlight, 1);
    }

    void completed() {
        add(inFlight, -1);
    }

    void read(long bytes) {
        add(readBytes, bytes);
    }

    void written(long bytes) {
        add(writtenBytes, bytes);
    }

    void failed() {
        add(errors, 1);
    }

    void dropConnection() {
        add(dropped, 1);
    }

    /** One writer, so no locked instruction is needed. */
    private static void add(AtomicLong counter, long change) {
        counter.setOpaque(counter.getPlain() + change);
    }
}
