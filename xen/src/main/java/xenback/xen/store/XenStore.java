package xenback.xen.store;

import java.util.List;

/**
 * The store as one domain sees it. Thread-safe; calls block the caller until the daemon answers, so they belong on
 * control threads and never on an event loop. Values are octets on the wire and ISO-8859-1 strings here, so that nothing
 * a guest wrote is lost or refused by a decoder.
 *
 * <p>Every method throws {@link StoreException} with the daemon's error name; what is missing is not an error where the
 * method returns an Optional.
 */
public interface XenStore extends StoreAccess, AutoCloseable {
    /**
     * Runs {@code work} in a transaction and commits. On EAGAIN (a conflict) the whole of it is run again, with back-off,
     * at most {@value #TRANSACTION_ATTEMPTS} times; an exception from {@code work} aborts. {@code work} must therefore
     * have no effect outside the transaction.
     */
    <T> T transaction(TransactionWork<T> work) throws StoreException;

    /** How often a transaction is tried before the conflict is reported (EAGAIN). */
    int TRANSACTION_ATTEMPTS = 10;

    /**
     * Watches a node and all below it. The listener runs on one dispatch thread of the client and must not block for
     * long; events are coalesced per watch, so it is told the set of paths that changed since it was last called, never a
     * queue that a guest can grow (XSA-349). It is called once at registration. An event is a hint: re-read the state.
     */
    StoreWatch watch(StorePath path, WatchListener listener) throws StoreException;

    /** As {@link #watch(StorePath, WatchListener)} for the special paths {@code @introduceDomain} and {@code @releaseDomain}. */
    StoreWatch watchSpecial(String name, WatchListener listener) throws StoreException;

    /** {@code /local/domain/<domid>}. */
    StorePath domainPath(int domid) throws StoreException;

    /** False from the moment the daemon is lost; calls then fail with EIO. */
    boolean isConnected();

    @Override
    void close();

    /** What is done in a transaction. */
    @FunctionalInterface
    interface TransactionWork<T> {
        T run(StoreAccess store) throws StoreException;
    }

    /** Told which paths below a watch changed. */
    @FunctionalInterface
    interface WatchListener {
        /**
         * Called with what changed since the last call.
         *
         * @param paths the paths of the coalesced events, without order; the watched path alone if too many changed;
         *     special watches report their name
         */
        void onChange(List<String> paths);
    }
}
