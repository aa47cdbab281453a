package xenback.daemon;

import java.io.IOException;
import java.util.List;

/** Disks being served: a hypervisor, the backend's devices, the guests and their exports, from start to drained. */
interface Serving extends AutoCloseable {
    /** Brings it all up. */
    @FunctionalInterface
    interface Starter {
        /**
         * Returns when every disk is exported, having told {@code attached}, {@code connected} and {@code export} for each.
         * If one disk fails, closes what it had opened and throws.
         *
         * @param plan has at least one NBD address
         * @param runDir for sockets; deleted after {@link Serving#close}
         * @param announcer told of every event until {@link Serving#close} returns, from any thread
         */
        Serving start(ServePlan plan, RunDir runDir, Announcer announcer)
                throws UserError, IOException, InterruptedException;
    }

    /** Counters of every disk that is attached, in the order of the plan. Any thread, any time before {@link #close}. */
    List<DiskCounts> counts();

    /** Waits until serving cannot go on, and throws why. */
    void awaitFailure() throws IOException, InterruptedException;

    /** Drains, makes durable what was written, detaches and removes the sockets. Called once. */
    @Override
    void close() throws IOException;
}
