package xenback.xen.ring;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;

/**
 * The only door to memory that the other domain can change at any moment. A ring end never touches the pages but through
 * here, so what crosses (which bytes, how often, with which ordering) can be seen in one place; a test subclass counts
 * reads, because every byte must be read once (XSA-155).
 */
class SharedMemory {
    private static final VarHandle INT = ValueLayout.JAVA_INT.varHandle().withInvokeExactBehavior();
    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle().withInvokeExactBehavior();

    private final MemorySegment pages;

    SharedMemory(MemorySegment pages) {
        this.pages = pages;
    }

    /** Nothing after this read is done before it: what a producer wrote before its index is visible. */
    int intAcquire(long at) {
        return (int) INT.getAcquire(pages, at);
    }

    /** Everything written before is visible to whoever sees this value. */
    void setIntRelease(long at, int value) {
        INT.setRelease(pages, at, value);
    }

    /** Reads a slot of eight bytes, at once. */
    long word(long at) {
        return (long) LONG.get(pages, at);
    }

    /** Copies slots out, each byte once. */
    void copyOut(long at, MemorySegment target, long targetOffset, int bytes) {
        MemorySegment.copy(pages, at, target, targetOffset, bytes);
    }

    /** Copies slots in. */
    void copyIn(MemorySegment source, long sourceOffset, long at, int bytes) {
        MemorySegment.copy(source, sourceOffset, pages, at, bytes);
    }

    long byteSize() {
        return pages.byteSize();
    }
}
