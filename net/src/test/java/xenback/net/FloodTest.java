package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetOptions;
import xenback.net.link.VnetHeader;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A link that always has another frame, none of which the guest can use. */
class FloodTest {
    private static final int SHORT_FRAME_BYTES = 13;

    @TempDir
    private Path dir;

    @Test
    void framesThatNobodyWantsDoNotKeepTheGuestFromSending() throws Exception {
        try (NetMachine machine = new NetMachine(dir, NetOptions.usual());
                Flood flood = new Flood()) {
            machine.setLink(1, flood);
            try (HostileNetGuest guest = new HostileNetGuest(machine, machine.guest(1)).connect()) {
                assertThat(guest.send(new Slot(0, 0, 0, 60))).containsExactly(0);
            }
        }
    }

    /** Its end is the end of the flood, so that a backend that cannot leave it is let go. */
    private static final class Flood extends OneQueueLink {
        private volatile boolean over;

        Flood() {
            super("flood");
        }

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            VnetHeader.put(into, offset, 0);
            return over ? -1 : VnetHeader.BYTES + SHORT_FRAME_BYTES;
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            return bytes;
        }

        @Override
        public void awaitFrame(EventLoop loop, Completion done, int tag) {}

        @Override
        public void close() {
            over = true;
        }
    }
}
