package xenback.xen.embedded;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.BitSet;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantStatus;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.GrantWindow;
import xenback.xen.io.Mapping;

/** What an open /dev/xen/gntdev is on a host, for one domain of the embedded Xen. */
final class EmbeddedGrantTable implements GrantTable {
    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    private final EmbeddedXen xen;
    private final Domain self;

    EmbeddedGrantTable(EmbeddedXen xen, Domain self) {
        this.xen = xen;
        this.self = self;
    }

    @Override
    public GrantMapping map(int domid, int[] grefs, boolean writable) throws XenException {
        Domain owner = xen.domain(domid);
        self.takeMaptrack(grefs.length);
        int pinned = 0;
        try {
            long[] offsets = new long[grefs.length];
            for (; pinned < grefs.length; pinned++) {
                int gref = grefs[pinned];
                short status = owner.grants().pin(gref, self.domid(), writable);
                if (status != GrantStatus.OKAY) {
                    throw refused(domid, gref, status);
                }
                // Read once: a guest that rewrites its entry now must not get a page mapped that was never checked.
                offsets[pinned] = offset(owner, owner.grants().frame(gref));
                if (offsets[pinned] < 0) {
                    owner.grants().unpin(gref, writable);
                    throw refused(domid, gref, GrantStatus.BAD_PAGE);
                }
            }
            return new Mapped(owner, grefs.clone(), writable, offsets);
        } catch (XenException e) {
            for (int i = 0; i < pinned; i++) {
                owner.grants().unpin(grefs[i], writable);
            }
            self.giveMaptrack(grefs.length);
            throw e;
        }
    }

    @Override
    public GrantWindow openWindow(int domid, int places) throws XenException {
        return new Window(xen.domain(domid), places);
    }

    @Override
    public MemorySegment allocateLocal(Arena owner, long bytes) {
        return owner.allocate(bytes, PAGE_BYTES);
    }

    @Override
    public int copy(GrantCopyBatch batch) {
        boolean toGuest = batch.direction() == GrantCopyBatch.Direction.TO_GUEST;
        int failed = 0;
        for (int entry = 0; entry < batch.count(); entry++) {
            short status = copy(batch, entry, toGuest);
            batch.setStatus(entry, status);
            if (status != GrantStatus.OKAY) {
                failed++;
            }
        }
        return failed;
    }

    @Override
    public void close() {}

    private short copy(GrantCopyBatch batch, int entry, boolean toGuest) {
        Domain owner = xen.domainOrNull(batch.domid(entry));
        if (owner == null) {
            return GrantStatus.BAD_DOMAIN;
        }
        int gref = batch.gref(entry);
        short status = owner.grants().pin(gref, self.domid(), toGuest);
        if (status != GrantStatus.OKAY) {
            return status;
        }
        long page = offset(owner, owner.grants().frame(gref)); // read once, see map
        status = page < 0 ? GrantStatus.BAD_PAGE : transfer(batch, entry, owner.memory(), page, toGuest);
        owner.grants().unpin(gref, toGuest);
        return status;
    }

    private static short transfer(GrantCopyBatch batch, int entry, MemorySegment memory, long page, boolean toGuest) {
        long at = page + batch.pageOffset(entry);
        try {
            if (toGuest) {
                MemorySegment.copy(batch.local(entry), batch.localOffset(entry), memory, at, batch.length(entry));
            } else {
                MemorySegment.copy(memory, at, batch.local(entry), batch.localOffset(entry), batch.length(entry));
            }
            return GrantStatus.OKAY;
        } catch (IllegalStateException e) {
            return GrantStatus.BAD_DOMAIN; // the domain died under the copy
        }
    }

    /** Where a frame starts in its domain's memory, in bytes; -1 if the domain has no such frame. */
    private static long offset(Domain owner, int frame) {
        return Integer.compareUnsigned(frame, owner.pages()) < 0 ? (long) frame * PAGE_BYTES : -1;
    }

    /** As gntdev: one bad reference fails the whole mapping. */
    private static XenException refused(int domid, int gref, short status) {
        return new XenException(
                Errno.EINVAL, "grant " + Integer.toUnsignedString(gref) + " of domain " + domid + ": status " + status);
    }

    private final class Window implements GrantWindow {
        private static final int EMPTY = -1; // no gref: the first eight are the hypervisor's, and the table is smaller

        private final Domain owner;
        private final Arena arena = Arena.ofShared();
        private final MemorySegment memory;
        private final int[] grefs;
        private final BitSet writables = new BitSet();
        private boolean closed;

        Window(Domain owner, int places) throws XenException {
            this.owner = owner;
            grefs = new int[places];
            Arrays.fill(grefs, EMPTY);
            try {
                memory = Mapping.anonymous(arena, (long) places * PAGE_BYTES);
            } catch (XenException e) {
                arena.close();
                throw e;
            }
        }

        @Override
        public MemorySegment memory() {
            return memory;
        }

        @Override
        public boolean put(int place, int gref, boolean writable) {
            // A dead domain's descriptor may be another file's by now.
            if (xen.domainOrNull(owner.domid()) != owner || !self.tryTakeMaptrack(1)) {
                return false;
            }
            if (owner.grants().pin(gref, self.domid(), writable) != GrantStatus.OKAY) {
                self.giveMaptrack(1);
                return false;
            }
            long offset = offset(owner, owner.grants().frame(gref)); // read once, see map
            long at = (long) place * PAGE_BYTES;
            if (offset < 0 || Mapping.mapOver(memory, at, PAGE_BYTES, owner.memoryFd(), offset, writable) < 0) {
                release(gref, writable);
                return false;
            }
            grefs[place] = gref;
            writables.set(place, writable);
            return true;
        }

        @Override
        public void remove(int place) {
            Mapping.unmapOver(memory, (long) place * PAGE_BYTES, PAGE_BYTES); // first, see Mapped.close
            release(grefs[place], writables.get(place));
            grefs[place] = EMPTY;
        }

        @Override
        public void close() {
            if (closed) {
                return;
            }
            closed = true;
            arena.close();
            for (int place = 0; place < grefs.length; place++) {
                if (grefs[place] != EMPTY) {
                    release(grefs[place], writables.get(place));
                }
            }
        }

        private void release(int gref, boolean writable) {
            owner.grants().unpin(gref, writable);
            self.giveMaptrack(1);
        }
    }

    private final class Mapped implements GrantMapping {
        private final Domain owner;
        private final int[] grefs;
        private final boolean writable;
        private final Arena arena = Arena.ofShared();
        private final MemorySegment memory;
        private boolean closed;

        Mapped(Domain owner, int[] grefs, boolean writable, long[] offsets) throws XenException {
            this.owner = owner;
            this.grefs = grefs;
            this.writable = writable;
            try {
                memory = Mapping.mapPages(arena, owner.memoryFd(), offsets, PAGE_BYTES, writable);
            } catch (XenException e) {
                arena.close();
                throw e;
            }
        }

        @Override
        public MemorySegment memory() {
            return memory;
        }

        @Override
        public synchronized void close() {
            if (!closed) {
                closed = true;
                arena.close(); // munmap first, then the guest may have its pages back
                for (int gref : grefs) {
                    owner.grants().unpin(gref, writable);
                }
                self.giveMaptrack(grefs.length);
            }
        }
    }
}
