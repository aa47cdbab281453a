package xenback.xen.grant;

import java.lang.foreign.MemorySegment;

/**
 * Another domain's pages, mapped contiguously into this process in the order of their grefs. A mapped page keeps a dead
 * guest's memory alive, so closing is a duty, not a courtesy.
 */
public interface GrantMapping extends AutoCloseable {
    /** The pages, 4096 bytes each. Access after {@link #close} throws IllegalStateException. */
    MemorySegment memory();

    /** Unmaps. The caller has drained all use of {@link #memory} before. */
    @Override
    void close();
}
