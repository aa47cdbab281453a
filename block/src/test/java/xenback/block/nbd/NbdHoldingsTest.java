package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayDeque;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class NbdHoldingsTest {
    private static final int MEBIBYTE = 1 << 20;

    private final NbdBufferPool pool = new NbdBufferPool();

    @AfterEach
    void close() {
        assertThat(pool.takenBytes()).isZero();
        pool.close();
    }

    @Test
    void boundsWhatOneConnectionHolds() {
        Hoarder hoarder = new Hoarder(pool);
        hoarder.takeAll(MEBIBYTE);
        assertThat(hoarder.holdings.bytes()).isEqualTo(NbdHoldings.MAX_BYTES);
        hoarder.release();
        assertThat(hoarder.holdings.affords(NbdProtocol.MAX_PAYLOAD_BYTES)).isTrue();
    }

    @Test
    void leavesEachConnectionItsOwnPartWhenOthersHoard() {
        Hoarder[] hoarders = new Hoarder[8];
        for (int i = 0; i < hoarders.length; i++) {
            hoarders[i] = new Hoarder(pool);
            hoarders[i].takeAll(MEBIBYTE);
        }
        assertThat(hoarders[0].holdings.bytes()).isEqualTo(NbdHoldings.MAX_BYTES);
        assertThat(hoarders[7].holdings.bytes()).isEqualTo(NbdHoldings.OWN_BYTES);
        Hoarder late = new Hoarder(pool);
        late.take(NbdInbox.BUFFER_BYTES);
        assertThat(late.holdings.affords(NbdProtocol.MAX_PAYLOAD_BYTES)).isTrue();
        late.take(NbdProtocol.MAX_PAYLOAD_BYTES);
        assertThat(late.holdings.affords(4096)).isFalse();
        hoarders[0].release();
        assertThat(late.holdings.affords(4096)).isTrue();
        late.release();
        for (Hoarder hoarder : hoarders) {
            hoarder.release();
        }
    }

    private static final class Hoarder {
        private final NbdHoldings holdings;
        private final ArrayDeque<NbdBuffer> buffers = new ArrayDeque<>();

        Hoarder(NbdBufferPool pool) {
            holdings = new NbdHoldings(pool);
        }

        void take(int bytes) {
            assertThat(holdings.affords(bytes)).isTrue();
            buffers.add(holdings.take(bytes));
        }

        void takeAll(int bytes) {
            while (holdings.affords(bytes)) {
                take(bytes);
            }
        }

        void release() {
            while (!buffers.isEmpty()) {
                holdings.release(buffers.poll());
            }
        }
    }
}
