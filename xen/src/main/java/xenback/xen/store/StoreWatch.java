package xenback.xen.store;

/** A watch that is kept until it is closed. */
public interface StoreWatch extends AutoCloseable {
    /** Ends the watch. When this returns the listener is not called any more, unless this is called from the listener. */
    @Override
    void close();
}
