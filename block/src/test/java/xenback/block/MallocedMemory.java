package xenback.block;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * Native memory of this process that was allocated and not freed, of every Arena too. The JVM allocates by the same library, so
 * a figure goes up and down with what the compilers do.
 */
@SuppressWarnings("restricted") // a C function of the test's own
final class MallocedMemory {
    /** glibc's struct mallinfo2 (malloc.h): ten of size_t. */
    private static final MemoryLayout FIELDS = MemoryLayout.structLayout(
            MemoryLayout.sequenceLayout(10, ValueLayout.JAVA_LONG).withName("fields"));

    /** In blocks from the system, and in use within the heaps. */
    private static final int HBLKHD = 4;

    private static final int UORDBLKS = 7;

    private static final MethodHandle MALLINFO2 = Linker.nativeLinker()
            .downcallHandle(
                    Linker.nativeLinker().defaultLookup().findOrThrow("mallinfo2"), FunctionDescriptor.of(FIELDS));

    private MallocedMemory() {}

    static long bytes() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment fields = (MemorySegment) MALLINFO2.invokeExact((SegmentAllocator) arena);
            return fields.getAtIndex(ValueLayout.JAVA_LONG, HBLKHD)
                    + fields.getAtIndex(ValueLayout.JAVA_LONG, UORDBLKS);
        } catch (Throwable e) {
            throw new IllegalStateException("mallinfo2", e);
        }
    }
}
