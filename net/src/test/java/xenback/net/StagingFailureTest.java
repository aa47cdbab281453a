package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.xen.testing.HookedXen;

/** This machine has no memory for a mapping when a guest wants a page of its unmapped. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD) // its end is what may never come
final class StagingFailureTest {
    @TempDir
    private Path dir;

    @Test
    void theGuestIsAnsweredAndTheInterfaceCanEnd() throws Exception {
        AtomicBoolean failing = new AtomicBoolean();
        try (LogRecords log = new LogRecords();
                NetMachine machine = new NetMachine(
                        dir,
                        NetOptions.usual(),
                        xen -> new HookedXen(xen).beforeRemove(place -> {
                            if (failing.get()) {
                                throw new IllegalStateException("mmap over a mapping: errno 12");
                            }
                        }))) {
            HostileNetGuest guest = new HostileNetGuest(machine, machine.guest(1)).connect();
            NetControl.putGrant(guest.page(5), 0, guest.gref(0), false);
            assertThat(guest.ask(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 1))
                    .isEqualTo(Answer.SUCCESS);

            failing.set(true);
            assertThat(guest.ask(NetControl.DEL_GREF_MAPPING, 0, guest.gref(5), 1))
                    .isEqualTo(Answer.INVALID);
            assertThat(log.faults()).singleElement().asString().contains("errno 12");
            failing.set(false);

            assertThat(guest.ask(NetControl.DEL_GREF_MAPPING, 0, guest.gref(5), 1))
                    .isEqualTo(Answer.of(1));
            failing.set(true);
            NetControl.putGrant(guest.page(5), 0, guest.gref(1), false);
            guest.ask(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 1);
            guest.ask(NetControl.DEL_GREF_MAPPING, 0, guest.gref(5), 1);
            guest.reset(); // waits until every grant is given back
            guest.close();
        }
    }
}
