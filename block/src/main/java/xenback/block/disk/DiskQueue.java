package xenback.block.disk;

import xenback.xen.io.Completion;
import xenback.xen.io.ScatterList;

/**
 * The data path of a {@link Disk} on one event loop. All calls and all completions are on that loop's thread; a
 * completion never comes before the starting call has returned. Operations may complete late, out of order, or with an
 * error. No allocation per operation.
 *
 * <p>Results are 0 for success or a negative errno, never a partial count. Offsets and lengths are in bytes, multiples of
 * the disk's logical block, inside the disk; what lies outside completes with -EIO (the store may have shrunk).
 */
public interface DiskQueue extends AutoCloseable {
    /** Reads {@code into.totalBytes()} bytes. The list and its memory belong to the operation until it completes. */
    void read(long offsetBytes, ScatterList into, Completion done, int tag);

    /** Writes {@code from.totalBytes()} bytes. The list and its memory belong to the operation until it completes. */
    void write(long offsetBytes, ScatterList from, Completion done, int tag);

    /** Makes durable every write that completed before this call. */
    void flush(Completion done, int tag);

    /**
     * Gives the space of a range back; it reads as anything afterwards. -EOPNOTSUPP where the disk cannot. The range may be
     * the whole disk: it is done piece by piece, and other operations go on meanwhile.
     *
     * @param secure nobody can read afterwards what was there
     */
    void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag);

    /**
     * Makes a range read as zeroes. -EOPNOTSUPP where the disk cannot. The range may be the whole disk, as with {@link
     * #discard}.
     *
     * @param mayDiscard true if the space may be given back
     */
    void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag);

    /** Ends the queue. The caller has waited for every completion before. */
    @Override
    void close();
}
