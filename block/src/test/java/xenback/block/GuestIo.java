package xenback.block;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;

/** Blocking access to a disk for tests: what a program in the guest would do. */
public final class GuestIo implements AutoCloseable {
    private final EventLoop loop;
    private final DiskQueue queue;
    private final Arena arena = Arena.ofShared();

    public GuestIo(Disk disk, EventLoop loop) throws Exception {
        this.loop = loop;
        queue = loop.call(() -> disk.openQueue(loop));
    }

    /** Writes bytes and returns the result, 0 or a negative errno. */
    public int write(long offset, byte[] bytes) throws Exception {
        MemorySegment memory = arena.allocate(bytes.length, 4096);
        MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, 0, bytes.length);
        ScatterList list = list(memory);
        return result(done -> queue.write(offset, list, done, 7));
    }

    /** Reads bytes; null if the read failed. */
    public byte[] read(long offset, int length) throws Exception {
        MemorySegment memory = arena.allocate(length, 4096);
        memory.fill((byte) 0xEE);
        ScatterList list = list(memory);
        int result = result(done -> queue.read(offset, list, done, 7));
        return result == 0 ? memory.toArray(ValueLayout.JAVA_BYTE) : null;
    }

    public int readResult(long offset, int length) throws Exception {
        ScatterList list = list(arena.allocate(length, 4096));
        return result(done -> queue.read(offset, list, done, 7));
    }

    public int flush() throws Exception {
        return result(done -> queue.flush(done, 7));
    }

    public int discard(long offset, long length, boolean secure) throws Exception {
        return result(done -> queue.discard(offset, length, secure, done, 7));
    }

    public int writeZeroes(long offset, long length, boolean mayDiscard) throws Exception {
        return result(done -> queue.writeZeroes(offset, length, mayDiscard, done, 7));
    }

    private ScatterList list(MemorySegment memory) {
        ScatterList list = new ScatterList(1, arena);
        list.add(memory, 0, memory.byteSize());
        return list;
    }

    private interface Starter {
        void start(Completion done);
    }

    private int result(Starter starter) throws Exception {
        CompletableFuture<Integer> result = new CompletableFuture<>();
        loop.execute(() -> starter.start((tag, value) -> result.complete(value)));
        return result.get(20, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        arena.close();
    }
}
