package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.net.backend.NetOptions;
import xenback.net.frontend.XnFeature;
import xenback.net.frontend.XnOptions;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A packet costs no garbage, neither in xnb nor in xn: small ones, blank checksums, large frames, in both directions. */
class NetAllocationTest {
    private static final int PACKETS = 20_000;

    /** Rounds until one is clean: the first ones run interpreted; see AllocationTest of block. */
    private static final int ROUNDS = 40;

    /** Frames at once: a turn of the loop each, so that the system calls of turns are compiled soon. */
    private static final int BURST = 8;

    private static final double LIMIT_BYTES_PER_PACKET = 0.1;

    @TempDir
    private Path dir;

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void packetsAllocateNothing(boolean staged) throws Exception {
        XnOptions options = staged ? XnOptions.usual().with(XnFeature.STAGED_GRANTS) : XnOptions.usual();
        try (NetMachine machine = new NetMachine(dir, NetOptions.usual())) {
            Pump host = new Pump("host");
            Pump guest = new Pump("guest");
            machine.setLink(1, host);
            machine.startXn(machine.guest(1), options, guest, 1);
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            long backend = threadNamed("xnb1i0");
            long frontend = threadNamed("xn1-0");
            List<String> rounds = new ArrayList<>();
            boolean clean = false;
            while (!clean && rounds.size() < ROUNDS) {
                long backendBefore = threads.getThreadAllocatedBytes(backend);
                long frontendBefore = threads.getThreadAllocatedBytes(frontend);
                host.start(PACKETS);
                guest.start(PACKETS);
                int wanted = (rounds.size() + 1) * PACKETS;
                Await.until(
                        () -> host.sent == wanted && guest.sent == wanted,
                        () -> wanted + " packets, there are " + host.sent + " and " + guest.sent);
                double backendBytes = (threads.getThreadAllocatedBytes(backend) - backendBefore) / (2.0 * PACKETS);
                double frontendBytes = (threads.getThreadAllocatedBytes(frontend) - frontendBefore) / (2.0 * PACKETS);
                rounds.add("xnb " + backendBytes + ", xn " + frontendBytes);
                clean = backendBytes < LIMIT_BYTES_PER_PACKET && frontendBytes < LIMIT_BYTES_PER_PACKET;
            }
            assertThat(clean).as("bytes per packet, round by round: %s", rounds).isTrue();
        }
    }

    private static long threadNamed(String name) {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals(name))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no thread " + name))
                .threadId();
    }

    /** A link that has as many frames as are asked for, and counts what it is sent. Allocates nothing for either. */
    private static final class Pump extends OneQueueLink {
        private final MemorySegment[] frames = {
            memory(PlainFrames.finished(PlainFrames.frame(4, PlainFrames.UDP, 0, 18), 0)),
            memory(PlainFrames.partial(PlainFrames.frame(4, PlainFrames.TCP, 0, 1400), 0, 0)),
            memory(PlainFrames.partial(PlainFrames.frame(6, PlainFrames.UDP, 1, 900), 0, 0)),
            memory(PlainFrames.partial(PlainFrames.frame(4, PlainFrames.TCP, 0, 20_000), 1, 1400))
        };
        private EventLoop loop;
        private Completion done;
        private int left;
        private int taken;
        private volatile int sent;

        Pump(String name) {
            super(name);
        }

        private static MemorySegment memory(byte[] frame) {
            MemorySegment memory = Arena.ofAuto().allocate(frame.length, 8);
            MemorySegment.copy(frame, 0, memory, ValueLayout.JAVA_BYTE, 0, frame.length);
            return memory;
        }

        void start(int packets) throws Exception {
            Await.until(() -> loop != null, () -> "a loop");
            loop.execute(() -> {
                left = packets;
                Completion told = done;
                if (told != null) {
                    done = null;
                    told.onCompletion(0, EventLoop.POLLIN);
                }
            });
        }

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            if (left == 0 || ++taken % BURST == 0) {
                return -Errno.EAGAIN.number();
            }
            MemorySegment frame = frames[--left & 3];
            MemorySegment.copy(frame, 0, into, offset, frame.byteSize());
            return (int) frame.byteSize();
        }

        @Override
        @SuppressWarnings("NonAtomicVolatileUpdate") // one thread writes
        public int send(MemorySegment from, long offset, int bytes) {
            sent++;
            return bytes;
        }

        @Override
        public void awaitFrame(EventLoop waiting, Completion told, int tag) {
            loop = waiting;
            if (left > 0) {
                waiting.completeSoon(told, tag, EventLoop.POLLIN);
            } else {
                done = told;
            }
        }
    }
}
