package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class NbdBufferPoolTest {
    @Test
    void roundsUpToPowersOfTwo() {
        assertThat(NbdBufferPool.roundUp(1)).isEqualTo(4096);
        assertThat(NbdBufferPool.roundUp(4096)).isEqualTo(4096);
        assertThat(NbdBufferPool.roundUp(4097)).isEqualTo(8192);
        assertThat(NbdBufferPool.roundUp(32 << 20)).isEqualTo(32 << 20);
    }

    @Test
    void givesTheBufferOutFirstThatCameBackLast() {
        try (NbdBufferPool pool = new NbdBufferPool()) {
            NbdBuffer first = pool.take(512);
            NbdBuffer second = pool.take(4096);
            back(pool, second);
            back(pool, first);
            assertThat(pool.take(1)).isSameAs(first);
            assertThat(pool.take(1)).isSameAs(second);
            back(pool, first);
            back(pool, second);
        }
    }

    @Test
    void keepsNoMoreUnusedMemoryThanItsBound() {
        try (NbdBufferPool pool = new NbdBufferPool()) {
            NbdBuffer[] buffers = new NbdBuffer[4];
            for (int i = 0; i < buffers.length; i++) {
                buffers[i] = pool.take(32 << 20);
            }
            for (NbdBuffer buffer : buffers) {
                back(pool, buffer);
            }
            assertThat(pool.unusedBytes()).isEqualTo(NbdBufferPool.KEPT_BYTES);
            assertThat(buffers[0].memory.scope().isAlive()).isTrue();
            assertThat(buffers[3].memory.scope().isAlive()).isFalse();
        }
    }

    @Test
    void freesEverythingAtItsEnd() {
        NbdBufferPool pool = new NbdBufferPool();
        NbdBuffer buffer = pool.take(512);
        back(pool, buffer);
        pool.close();
        assertThat(buffer.memory.scope().isAlive()).isFalse();
    }

    @Test
    void alignsPayloadsToSectors() {
        try (NbdBufferPool pool = new NbdBufferPool()) {
            NbdBuffer buffer = pool.take(12288);
            assertThat((buffer.memory.address() + NbdBuffer.HEADER_ROOM) % 512).isZero();
            assertThat(buffer.payloadBytes()).isEqualTo(16384);
            back(pool, buffer);
        }
    }

    private static void back(NbdBufferPool pool, NbdBuffer buffer) {
        buffer.references = 0;
        pool.give(buffer);
    }
}
