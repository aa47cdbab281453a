package xenback.block;

import java.lang.foreign.Arena;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import xenback.block.disk.DiskQueue;
import xenback.block.frontend.Xbd;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;

/**
 * Reads and writes in turn over the first 128 pieces of a guest's disk, eight at a time, through one queue of it and on the disk's
 * own loop. Allocates nothing per request.
 */
final class GuestLoad {
    private static final int DEPTH = 8;

    private final EventLoop loop;
    private final DiskQueue queue;
    private final int bytes;
    private final ScatterList[] lists = new ScatterList[DEPTH];
    private final Completion done = this::onDone;
    private int left;
    private int running;
    private int failures;
    private CountDownLatch ended = new CountDownLatch(0);

    /**
     * @param pages of 4 KiB in each request
     * @param arena for the guest's buffers, to be closed after the last run
     */
    GuestLoad(Xbd xbd, int pages, Arena arena) throws Exception {
        loop = xbd.loop();
        queue = loop.call(() -> xbd.openQueue(loop));
        bytes = pages * 4096;
        for (int i = 0; i < DEPTH; i++) {
            lists[i] = new ScatterList(1, arena);
            lists[i].add(arena.allocate(bytes, 4096), 0, bytes);
        }
    }

    /** Begins so many requests, at least eight. */
    void begin(int requests) {
        ended = new CountDownLatch(1);
        loop.execute(() -> {
            left = requests;
            for (int i = 0; i < DEPTH; i++) {
                start(i);
            }
        });
    }

    /** Waits for the last of those begun. */
    void awaitEnd() throws InterruptedException {
        if (!ended.await(60, TimeUnit.SECONDS)) {
            throw new AssertionError(left + " requests left");
        }
    }

    void run(int requests) throws InterruptedException {
        begin(requests);
        awaitEnd();
    }

    /** Requests that failed, of all runs. */
    int failures() {
        return failures;
    }

    private void start(int index) {
        left--;
        running++;
        long offset = (long) bytes * (left * 7 & 127);
        if ((left & 1) == 0) {
            queue.read(offset, lists[index], done, index);
        } else {
            queue.write(offset, lists[index], done, index);
        }
    }

    private void onDone(int index, int result) {
        running--;
        failures += result == 0 ? 0 : 1;
        if (left > 0) {
            start(index);
        } else if (running == 0) {
            ended.countDown();
        }
    }
}
