package xenback.daemon;

import java.io.IOException;
import java.util.List;

/** Disks and interfaces being served: a hypervisor, the backends' devices, the guests, from start to drained. */
interface Serving extends AutoCloseable {
    /** Brings it all up. */
    @FunctionalInterface
    interface Starter {
        /**
         * Returns when every disk is exported and every interface joined, having told {@code attached}, {@code connected} and
         * {@code export} or {@code cable} for each. If one fails, closes what it had opened and throws.
         *
         * @param plan has at least one NBD address if it has disks
         * @param runDir for sockets; deleted after {@link Serving#close}
         * @param announcer told of every event until {@link Serving#close} returns, from any thread
         */
        Serving start(ServePlan plan, RunDir runDir, Announcer announcer)
                throws UserError, IOException, InterruptedException;
    }

    /** Counters of every disk that is attached, in the order of the plan. Any thread, any time before {@link #close}. */
    List<DiskCounts> counts();

    /** Every disk that is attached, for those who look at it. As {@link #counts}. */
    default List<DiskView> disks() {
        return List.of();
    }

    /** Every interface that is attached. As {@link #counts}. */
    default List<NicView> nics() {
        return List.of();
    }

    /** Waits until serving cannot go on, and throws why. */
    void awaitFailure() throws IOException, InterruptedException;

    /** Drains, makes durable what was written, detaches and removes the sockets. Called once. */
    @Override
    void close() throws IOException;
}
