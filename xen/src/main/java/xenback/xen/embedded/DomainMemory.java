package xenback.xen.embedded;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.io.Memfd;

/** The pages of a domain: one memfd, frame n at offset n * 4096. */
final class DomainMemory implements AutoCloseable {
    private final Memfd memfd;
    private final MemorySegment segment;
    private final int pages;

    DomainMemory(int domid, int pages, Arena arena) throws XenException {
        this.pages = pages;
        memfd = Memfd.create("xenback-domain-" + domid, (long) pages * GrantCopyBatch.PAGE_BYTES);
        try {
            segment = memfd.map(arena);
        } catch (XenException e) {
            memfd.close();
            throw e;
        }
    }

    MemorySegment segment() {
        return segment;
    }

    int fd() {
        return memfd.fd();
    }

    int pages() {
        return pages;
    }

    @Override
    public void close() {
        memfd.close();
    }
}
