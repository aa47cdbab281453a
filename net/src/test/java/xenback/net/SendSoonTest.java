package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetDrop;
import xenback.net.backend.NetOptions;
import xenback.xen.XenException;

/** A link that sends frames later than it is given them, as a TAP by io_uring does: their memory is the link's until then. */
class SendSoonTest {
    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private NetMachine machine;
    private HostileNetGuest guest;

    @BeforeEach
    void start() throws Exception {
        machine = new NetMachine(dir, NetOptions.usual());
        guest = new HostileNetGuest(machine, machine.guest(1)).connect();
        guest.link().holds = true;
    }

    @AfterEach
    void close() {
        guest.link().holds = false;
        guest.link().release();
        guest.close();
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    private static byte[] frame(int value) {
        byte[] frame = new byte[200];
        Arrays.fill(frame, 12, frame.length, (byte) value);
        return frame;
    }

    @Test
    void doesNotWriteOverAFrameThatIsStillToBeSent() throws Exception {
        List<byte[]> frames = List.of(frame(1), frame(2), frame(3));
        assertThat(guest.sendFrame(frames.getFirst(), 0, 4096)).containsExactly(0);

        int first = guest.txProd();
        put(1, frames.get(1));
        put(2, frames.get(2));
        guest.publishTx();
        TimeUnit.MILLISECONDS.sleep(100);
        assertThat(guest.link().held()).isOne();

        guest.link().release();
        assertThat(guest.statuses(first)).containsExactly(0, 0);
        guest.link().release();
        List<byte[]> sent = guest.link().sent();
        assertThat(sent).hasSize(3);
        for (int i = 0; i < 3; i++) {
            assertThat(PlainFrames.behind(sent.get(i))).isEqualTo(frames.get(i));
        }
    }

    private void put(int page, byte[] frame) {
        MemorySegment.copy(frame, 0, guest.page(page), ValueLayout.JAVA_BYTE, 0, frame.length);
        guest.put(new Slot(page, 0, 0, frame.length));
    }

    @Test
    void endsWhenItsFramesAreSent() throws Exception {
        assertThat(guest.sendFrame(frame(1), 0, 4096)).containsExactly(0);

        CompletableFuture<Void> restart = CompletableFuture.runAsync(() -> {
            try {
                machine.restartBackend();
            } catch (XenException e) {
                throw new IllegalStateException(e);
            }
        });
        assertThatThrownBy(() -> restart.get(300, TimeUnit.MILLISECONDS)).isInstanceOf(TimeoutException.class);

        guest.link().release();
        restart.get(10, TimeUnit.SECONDS);
        assertThat(PlainFrames.behind(guest.link().sent().getFirst())).isEqualTo(frame(1));
    }

    @Test
    void countsWhatTheLinkRefusesInTheEnd() throws Exception {
        guest.sendFrame(frame(1), 0, 4096);
        guest.link().refuses = true;

        guest.link().release();

        Await.until(() -> guest.counters().drops(NetDrop.LINK_REFUSED) == 1, () -> "a frame refused");
        assertThat(guest.counters().txPackets()).isZero();
    }
}
