package xenback.daemon;

/**
 * What went through one disk since it was attached, and what is in flight now.
 *
 * @param name the frontend's name of it, such as {@code xbd0}
 */
record DiskCounts(
        String name,
        String interfaceName,
        long reads,
        long readBytes,
        long writes,
        long writtenBytes,
        int requestsInFlight) {}
