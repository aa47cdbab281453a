package xenback.net.link;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Frames on their way into a pcapng file. Any thread puts them in and never waits: they go through bounded memory to a thread
 * that writes, and are dropped and counted if that one falls behind.
 */
public final class Capture implements AutoCloseable {
    /** Bytes that may wait for the file. */
    static final int RING_BYTES = 8 << 20;

    private static final int STAGING_BYTES = 256 << 10;
    private static final int MOST_INTERFACES = 64;
    private static final Duration END_PATIENCE = Duration.ofSeconds(5);

    /** Which way a frame goes, as seen from this machine. */
    public enum Way {
        /** From the guest. */
        IN(Pcapng.INBOUND),
        /** To the guest. */
        OUT(Pcapng.OUTBOUND);

        private final int flag;

        Way(int flag) {
            this.flag = flag;
        }
    }

    private final WritableByteChannel file;
    private final List<String> interfaces;
    private final FrameRing ring;
    private final AtomicLongArray taken;
    private final AtomicLongArray dropped;
    private final MemorySegment staging = Arena.ofAuto().allocate(STAGING_BYTES, 8);
    private final ByteBuffer stagingBuffer = staging.asByteBuffer();
    private final Thread writer;

    /** What is added to {@link System#nanoTime} for the time since 1970. */
    private final long epochNanos;

    private int staged;
    private volatile boolean closing;
    private volatile boolean ended;
    private volatile @Nullable IOException failure;

    private Capture(WritableByteChannel file, List<String> interfaces, int ringBytes) {
        this.file = file;
        this.interfaces = List.copyOf(interfaces);
        ring = new FrameRing(ringBytes);
        taken = new AtomicLongArray(interfaces.size());
        dropped = new AtomicLongArray(interfaces.size());
        Instant now = Instant.now();
        epochNanos = now.getEpochSecond() * 1_000_000_000L + now.getNano() - System.nanoTime();
        writer = Thread.ofPlatform().name("capture").daemon().unstarted(this::write);
    }

    /**
     * Begins a file.
     *
     * @param file gets the bytes, and is closed at the end
     * @param interfaces their names, at least one, at most 64
     */
    public static Capture start(WritableByteChannel file, List<String> interfaces) {
        return start(file, interfaces, RING_BYTES);
    }

    /** The same, but the file is left alone until {@link #begin}: frames that are put before wait for it. */
    public static Capture prepare(WritableByteChannel file, List<String> interfaces) {
        return prepare(file, interfaces, RING_BYTES);
    }

    static Capture start(WritableByteChannel file, List<String> interfaces, int ringBytes) {
        Capture capture = prepare(file, interfaces, ringBytes);
        capture.begin();
        return capture;
    }

    private static Capture prepare(WritableByteChannel file, List<String> interfaces, int ringBytes) {
        if (interfaces.isEmpty() || interfaces.size() > MOST_INTERFACES) {
            throw new IllegalArgumentException("interfaces: 1 to " + MOST_INTERFACES);
        }
        return new Capture(file, interfaces, ringBytes);
    }

    /** Begins to write what {@link #prepare} has prepared. Once. */
    public void begin() {
        writer.start();
    }

    /**
     * Keeps a copy of a frame. Any thread; no allocation.
     *
     * @param number of the interface, in the order of {@link #start}
     * @param bytes of the {@link VnetHeader} at {@code offset} and of the frame
     * @return false if it was dropped
     */
    public boolean put(int number, Way way, MemorySegment memory, long offset, int bytes) {
        int frameBytes = bytes - VnetHeader.BYTES;
        if (frameBytes >= 0 && !closing && !ended) {
            int blockBytes = Pcapng.packetBytes(memory, offset, frameBytes);
            long at = ring.claim(blockBytes);
            if (at >= 0) {
                long nanos = System.nanoTime() + epochNanos;
                Pcapng.putPacket(ring.memory(), at, number, way.flag, nanos, memory, offset, frameBytes);
                taken.incrementAndGet(number);
                if (ring.commit(at, blockBytes)) {
                    LockSupport.unpark(writer);
                }
                return true;
            }
        }
        dropped.incrementAndGet(number);
        return false;
    }

    /** Frames taken so far, of all interfaces. */
    public long taken() {
        return sum(taken);
    }

    /** Frames dropped so far. */
    public long dropped() {
        return sum(dropped);
    }

    /** True once nothing is written any more: after {@link #close}, or because the file took no more. */
    public boolean isEnded() {
        return ended;
    }

    /** Waits until {@link #isEnded}. */
    public void awaitEnd() throws InterruptedException {
        writer.join();
    }

    /** Writes what was taken, and closes the file; a file that does not take it within five seconds is closed as it is. */
    @Override
    public void close() throws IOException {
        closing = true;
        if (writer.getState() == Thread.State.NEW) { // never begun
            file.close();
            return;
        }
        LockSupport.unpark(writer);
        try {
            if (!writer.join(END_PATIENCE)) {
                file.close(); // which ends a write that hangs
                writer.interrupt();
                writer.join();
            }
        } catch (InterruptedException e) {
            file.close();
            Thread.currentThread().interrupt();
        }
        IOException failed = failure;
        if (failed != null) {
            throw failed;
        }
    }

    private void write() {
        try (file) {
            long at = Pcapng.putSectionHeader(staging, 0);
            for (String name : interfaces) {
                at = Pcapng.putInterface(staging, at, name);
            }
            staged = (int) at;
            flush();
            while (true) {
                boolean last = closing; // before the look, so that what was put before the end is seen
                writeTaken();
                if (last) {
                    break;
                }
                if (ring.rearm()) {
                    LockSupport.park(this);
                }
            }
            writeStatistics();
        } catch (IOException e) {
            failure = e;
        } finally {
            ended = true;
        }
    }

    private void writeTaken() throws IOException {
        for (long at = ring.next(); at >= 0; at = ring.next()) {
            int bytes = ring.bytes(at);
            if (staged + bytes > STAGING_BYTES) {
                flush();
            }
            MemorySegment.copy(ring.memory(), at, staging, staged, bytes);
            staged += bytes;
            ring.release(at);
        }
        flush();
    }

    private void writeStatistics() throws IOException {
        long nanos = System.nanoTime() + epochNanos;
        long at = 0;
        for (int i = 0; i < interfaces.size(); i++) {
            at = Pcapng.putStatistics(staging, at, i, nanos, taken.get(i) + dropped.get(i), dropped.get(i));
        }
        staged = (int) at;
        flush();
    }

    private void flush() throws IOException {
        stagingBuffer.limit(staged).position(0);
        while (stagingBuffer.hasRemaining()) {
            file.write(stagingBuffer);
        }
        staged = 0;
    }

    private static long sum(AtomicLongArray counts) {
        long sum = 0;
        for (int i = 0; i < counts.length(); i++) {
            sum += counts.get(i);
        }
        return sum;
    }
}
