package xenback.daemon;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * The life of one {@code serve}: run directory, serving, status each second, and the clean-up, which is done once whoever
 * asks for it. A start in progress and the clean-up exclude each other.
 */
final class Service {
    private static final long START_PATIENCE_SECONDS = 10;

    /** Makes the run directory when the time has come. */
    @FunctionalInterface
    interface RunDirSource {
        RunDir open() throws UserError, IOException;
    }

    private final Announcer announcer;
    private final ReentrantLock lock = new ReentrantLock();
    private @Nullable RunDir runDir; // guarded by lock
    private @Nullable Serving serving; // guarded by lock
    private @Nullable ControlServer control; // guarded by lock
    private @Nullable Thread ticker; // guarded by lock
    private boolean ended; // guarded by lock
    private volatile @Nullable Thread starting;

    Service(Announcer announcer) {
        this.announcer = announcer;
    }

    /** Starts, unless it was ended before. {@link #end} is needed after a failure, too. */
    void begin(ServePlan plan, RunDirSource runDirSource, Serving.Starter starter)
            throws UserError, IOException, InterruptedException {
        lock.lock();
        try {
            if (ended) {
                return;
            }
            starting = Thread.currentThread();
            RunDir directory = runDirSource.open();
            runDir = directory;
            ControlServer opened = ControlServer.open(directory.socket(ControlServer.SOCKET));
            control = opened;
            Serving started = starter.start(plan.below(directory), directory, announcer);
            serving = started;
            opened.serve(started);
            ticker = Thread.ofVirtual().name("xenback-status").start(() -> tick(started));
        } finally {
            starting = null;
            lock.unlock();
        }
    }

    /** Waits until serving fails, and throws why; returns at once if it was never begun. */
    void awaitFailure() throws IOException, InterruptedException {
        Serving started;
        lock.lock();
        try {
            started = serving;
        } finally {
            lock.unlock();
        }
        if (started != null) {
            started.awaitFailure();
        }
    }

    /** Closes what was begun; does nothing the second time. True if all went well. */
    boolean end() {
        try {
            // A start is asked to give up; one that does not must not keep the process from ending.
            Thread starter = starting;
            if (starter != null) {
                starter.interrupt();
            }
            if (!lock.tryLock(START_PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                announcer.tell(new ServeEvent.Failed("ended while it was still starting"));
                return false;
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return false;
        }
        try {
            return ended || close();
        } finally {
            ended = true;
            lock.unlock();
        }
    }

    private boolean close() {
        if (ticker != null) {
            ticker.interrupt();
        }
        closeOne(control);
        boolean drained = closeOne(serving);
        boolean removed = closeOne(runDir);
        announcer.tell(new ServeEvent.Stopped());
        return drained && removed;
    }

    /** One failure must not keep the rest from being closed. */
    private boolean closeOne(@Nullable AutoCloseable resource) {
        try {
            if (resource != null) {
                resource.close();
            }
            return true;
        } catch (Exception e) {
            announcer.tell(new ServeEvent.Failed(Reason.line(e)));
            return false;
        }
    }

    private void tick(Serving started) {
        try {
            List<DiskCounts> before = started.counts();
            List<NicTraffic.Counts> nicsBefore = nicCounts(started);
            long beforeNanos = System.nanoTime();
            while (true) {
                Thread.sleep(1000);
                List<DiskCounts> after = started.counts();
                List<NicTraffic.Counts> nicsAfter = nicCounts(started);
                long afterNanos = System.nanoTime();
                announcer.tell(new ServeEvent.Status(
                        DiskRate.between(before, after, afterNanos - beforeNanos),
                        NicTraffic.between(nicsBefore, nicsAfter, afterNanos - beforeNanos)));
                before = after;
                nicsBefore = nicsAfter;
                beforeNanos = afterNanos;
            }
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    private static List<NicTraffic.Counts> nicCounts(Serving started) {
        return started.nics().stream().map(NicTraffic.Counts::of).toList();
    }
}
