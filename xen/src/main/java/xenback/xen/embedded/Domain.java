package xenback.xen.embedded;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.Granter;
import xenback.xen.store.StoreClient;
import xenback.xen.store.XenStore;

/**
 * A domain of the embedded Xen: what a backend or a frontend that runs in it gets from the hypervisor. Its memory is one
 * memfd, so that it can be mapped page by page, and later by another process. Thread-safe.
 *
 * <p>{@link #close} is the end of the domain: its store connection, ports and memory go. Pages that another domain has
 * mapped live on until that mapping is closed, as on a real Xen.
 */
public final class Domain implements Xen, Granter {
    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    /** Mappings that one domain may have at a time: Xen's default of 1024 maptrack frames, 512 entries each. */
    private static final int MAPTRACK_LIMIT = 1024 * 512;

    private final EmbeddedXen xen;
    private final int domid;
    private final EventPorts eventPorts;
    private final Arena arena = Arena.ofShared();
    private final GrantEntries grants = new GrantEntries();
    private final DomainMemory memory;
    private final AtomicInteger maptrack = new AtomicInteger();

    // Under the lock of this object.
    private final BitSet usedPages = new BitSet();
    private final BitSet usedGrefs = new BitSet();
    private @Nullable XenStore store;
    private boolean closed;

    Domain(EmbeddedXen xen, int domid, int pages, Object hypervisor) throws XenException {
        this.xen = xen;
        this.domid = domid;
        memory = new DomainMemory(domid, pages, arena);
        eventPorts = new EventPorts(domid, hypervisor);
        usedGrefs.set(0, GrantEntries.RESERVED);
    }

    @Override
    public int domid() {
        return domid;
    }

    @Override
    public synchronized XenStore store() {
        XenStore open = store;
        if (open == null) {
            try {
                open = StoreClient.connect(xen.storeSocket(domid));
            } catch (XenException e) {
                throw new IllegalStateException("the embedded xenstored does not answer", e);
            }
            store = open;
        }
        return open;
    }

    @Override
    public EventChannels openEventChannels(int remoteDomid) throws XenException {
        return new EmbeddedEventChannels(xen, eventPorts);
    }

    @Override
    public GrantTable openGrantTable() {
        return new EmbeddedGrantTable(xen, this);
    }

    @Override
    public synchronized Pages allocatePages(int count) throws XenException {
        int first = usedPages.nextClearBit(0);
        while (first + count <= memory.pages()) {
            int used = usedPages.nextSetBit(first);
            if (used < 0 || used >= first + count) {
                usedPages.set(first, first + count);
                MemorySegment pages = memory.segment().asSlice((long) first * PAGE_BYTES, (long) count * PAGE_BYTES);
                pages.fill((byte) 0);
                return new Pages(pages, first);
            }
            first = usedPages.nextClearBit(used);
        }
        throw new XenException(Errno.ENOMEM, "domain " + domid + " has no " + count + " pages left");
    }

    @Override
    public synchronized void freePages(Pages pages) {
        int count = (int) (pages.memory().byteSize() / PAGE_BYTES);
        usedPages.clear(pages.firstFrame(), pages.firstFrame() + count);
    }

    @Override
    public synchronized int[] allocateGrefs(int count) throws XenException {
        int[] grefs = new int[count];
        int next = 0;
        for (int i = 0; i < count; i++) {
            next = usedGrefs.nextClearBit(next);
            if (next >= GrantEntries.ENTRY_LIMIT) {
                for (int j = 0; j < i; j++) {
                    usedGrefs.clear(grefs[j]);
                }
                throw new XenException(Errno.ENOSPC, "domain " + domid + " has no grant reference left");
            }
            usedGrefs.set(next);
            grefs[i] = next;
        }
        return grefs;
    }

    @Override
    public synchronized void freeGrefs(int[] grefs) {
        for (int gref : grefs) {
            usedGrefs.clear(gref);
        }
    }

    @Override
    public void grant(int gref, int remoteDomid, int frame, boolean readOnly) {
        grants.permit(gref, remoteDomid, frame, readOnly);
    }

    @Override
    public boolean end(int gref) {
        return grants.end(gref);
    }

    /** Grant entries of this domain that another domain uses now: zero when every backend has let go. */
    public int pinnedGrants() {
        return grants.pinned();
    }

    /** Event channel ports of this domain in use. */
    public int openPorts() {
        return eventPorts.count();
    }

    /** Pages of this domain that are allocated. */
    public synchronized int allocatedPages() {
        return usedPages.cardinality();
    }

    @Override
    public void close() {
        XenStore open;
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            open = store;
        }
        if (open != null) {
            open.close(); // before xenstored drops the domain's connections, which would look like its loss
        }
        xen.forget(this);
        eventPorts.closeAll();
        arena.close();
        memory.close();
    }

    EventPorts eventPorts() {
        return eventPorts;
    }

    GrantEntries grants() {
        return grants;
    }

    MemorySegment memory() {
        return memory.segment();
    }

    int memoryFd() {
        return memory.fd();
    }

    int pages() {
        return memory.pages();
    }

    void takeMaptrack(int count) throws XenException {
        if (!tryTakeMaptrack(count)) {
            throw new XenException(Errno.ENOSPC, "domain " + domid + " has no maptrack entry left");
        }
    }

    boolean tryTakeMaptrack(int count) {
        if (maptrack.addAndGet(count) > MAPTRACK_LIMIT) {
            maptrack.addAndGet(-count);
            return false;
        }
        return true;
    }

    void giveMaptrack(int count) {
        maptrack.addAndGet(-count);
    }

    /** Grants of other domains that this domain has mapped. */
    public int mappedGrants() {
        return maptrack.get();
    }
}
