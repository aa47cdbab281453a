package xenback.xen.ring;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** XSA-155: whatever the peer can change is read once. Every access goes through {@link SharedMemory}, which counts here. */
class RingReadOnceTest {
    private static final int SLOT_BYTES = 108; // some slots straddle two pages

    private final Arena arena = Arena.ofConfined();
    private final Counting memory = new Counting(arena.allocate(2 * RingLayout.PAGE_BYTES, RingLayout.PAGE_BYTES));
    private final BackRing back = new BackRing(memory, SLOT_BYTES, 0, 0);
    private final MemorySegment copy = arena.allocate(SLOT_BYTES, 8);

    @BeforeEach
    void fill() {
        for (int i = 0; i < back.slots(); i++) {
            memory.copyIn(copy.fill((byte) i), 0, RingLayout.SLOTS + (long) i * SLOT_BYTES, SLOT_BYTES);
        }
        memory.setIntRelease(RingLayout.REQ_PROD, back.slots());
    }

    @AfterEach
    void close() {
        arena.close();
    }

    @Test
    void readsEachByteOfEachSlotOnce() {
        assertThat(back.beginSweep()).isTrue();
        int taken = 0;
        while (back.takeRequest(copy)) {
            assertThat(copy.get(java.lang.foreign.ValueLayout.JAVA_BYTE, SLOT_BYTES - 1))
                    .isEqualTo((byte) taken);
            taken++;
        }
        assertThat(taken).isEqualTo(64);
        int end = (int) RingLayout.SLOTS + taken * SLOT_BYTES;
        for (int at = (int) RingLayout.SLOTS; at < memory.reads.length; at++) {
            assertThat(memory.reads[at]).as("byte %d", at).isEqualTo(at < end ? 1 : 0);
        }
    }

    @Test
    void readsEachByteOnceWhenAllAreTakenAtOnce() {
        assertThat(back.beginSweep()).isTrue();
        back.takeRequests(arena.allocate((long) back.slots() * SLOT_BYTES, 8));
        int end = (int) RingLayout.SLOTS + 64 * SLOT_BYTES;
        for (int at = (int) RingLayout.SLOTS; at < memory.reads.length; at++) {
            assertThat(memory.reads[at]).as("byte %d", at).isEqualTo(at < end ? 1 : 0);
        }
    }

    @Test
    void readsAWordAtOnce() {
        BackRing words = new BackRing(memory, 8, 0, 0);
        memory.setIntRelease(RingLayout.REQ_PROD, 2);
        assertThat(words.beginSweep()).isTrue();
        words.takeWord();
        words.takeWord();
        for (int at = (int) RingLayout.SLOTS; at < memory.reads.length; at++) {
            assertThat(memory.reads[at]).as("byte %d", at).isEqualTo(at < RingLayout.SLOTS + 16 ? 1 : 0);
        }
    }

    @Test
    void readsEachCounterOncePerStep() {
        back.beginSweep();
        assertThat(memory.readsOf(RingLayout.REQ_PROD)).isOne();
        while (back.takeRequest(copy)) {
            // takes all
        }
        assertThat(memory.readsOf(RingLayout.REQ_PROD)).isOne();
        back.rearm();
        assertThat(memory.readsOf(RingLayout.REQ_PROD)).isEqualTo(2);
        assertThat(memory.readsOf(RingLayout.REQ_EVENT)).isZero();
        back.putResponse(copy, 12);
        back.push();
        assertThat(memory.readsOf(RingLayout.RSP_EVENT)).isOne();
        assertThat(memory.readsOf(RingLayout.RSP_PROD))
                .as("our own counter is never believed from the page")
                .isZero();
    }

    @Test
    void frontendReadsEachByteOfAResponseOnce() {
        FrontRing front = new FrontRing(memory, SLOT_BYTES, 0);
        for (int i = 0; i < 3; i++) {
            front.putRequest(copy, SLOT_BYTES);
        }
        front.push();
        memory.setIntRelease(RingLayout.RSP_PROD, 3);
        Arrays.fill(memory.reads, 0);
        assertThat(front.beginSweep()).isTrue();
        while (front.takeResponse(copy, 12)) {
            // takes all
        }
        assertThat(memory.readsOf(RingLayout.RSP_PROD)).isOne();
        for (int at = (int) RingLayout.SLOTS; at < memory.reads.length; at++) {
            int inSlot = (at - (int) RingLayout.SLOTS) % SLOT_BYTES;
            boolean response = at < RingLayout.SLOTS + 3L * SLOT_BYTES && inSlot < 12;
            assertThat(memory.reads[at]).as("byte %d", at).isEqualTo(response ? 1 : 0);
        }
    }

    private static final class Counting extends SharedMemory {
        final int[] reads;

        Counting(MemorySegment pages) {
            super(pages);
            reads = new int[(int) pages.byteSize()];
        }

        int readsOf(long counter) {
            return reads[(int) counter];
        }

        @Override
        int intAcquire(long at) {
            reads[(int) at]++;
            return super.intAcquire(at);
        }

        @Override
        long word(long at) {
            for (int i = 0; i < 8; i++) {
                reads[(int) at + i]++;
            }
            return super.word(at);
        }

        @Override
        void copyOut(long at, MemorySegment target, long targetOffset, int bytes) {
            for (int i = 0; i < bytes; i++) {
                reads[(int) at + i]++;
            }
            super.copyOut(at, target, targetOffset, bytes);
        }
    }
}
