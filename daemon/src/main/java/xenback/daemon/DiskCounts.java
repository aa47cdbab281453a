package xenback.daemon;

import xenback.block.backend.BlockBackend;
import xenback.block.backend.BlockCounters;

/**
 * What went through one disk since it was attached, and what is in flight now.
 *
 * @param name the frontend's name of it, such as {@code xbd0}; on a host, where only it knows, the interface's
 */
record DiskCounts(
        String name,
        String interfaceName,
        long reads,
        long readBytes,
        long writes,
        long writtenBytes,
        int requestsInFlight) {

    static DiskCounts of(String name, BlockBackend.Row row) {
        BlockCounters counters = row.counters();
        return new DiskCounts(
                name,
                row.name(),
                counters.reads(),
                counters.bytesRead(),
                counters.writes(),
                counters.bytesWritten(),
                (int) counters.inFlight());
    }
}
