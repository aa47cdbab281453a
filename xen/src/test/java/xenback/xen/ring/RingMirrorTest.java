package xenback.xen.ring;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Slots that go in one or two pieces to and from a private copy of the ring, each at its own place. */
class RingMirrorTest {
    private static final int SLOT_BYTES = SharedRing.SLOT_BYTES;
    private static final byte UNTOUCHED = 0x5A;

    private final Arena arena = Arena.ofConfined();

    @AfterEach
    void close() {
        arena.close();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 31, -1, Integer.MAX_VALUE - 3})
    void everyRequestOfTheSweepIsTakenToItsOwnPlace(int start) {
        for (int count = 0; count <= 32; count++) {
            SharedRing ring = new SharedRing(arena, 1, start);
            assertThat(ring.back.slots()).isEqualTo(32);
            for (int i = 0; i < count; i++) {
                ring.putRequest(1000 + i);
            }
            ring.front.push();
            assertThat(ring.back.beginSweep()).isTrue();
            MemorySegment mirror = arena.allocate(32L * SLOT_BYTES, 8).fill(UNTOUCHED);
            ring.back.takeRequests(mirror);
            assertThat(ring.back.untaken()).isZero();
            assertThat(ring.back.taken()).isEqualTo(start + count);
            for (int i = 0; i < 32; i++) {
                long at = (long) (start + i & 31) * SLOT_BYTES;
                if (i < count) {
                    assertThat(mirror.get(ValueLayout.JAVA_LONG, at)).isEqualTo(1000L + i);
                    assertThat(mirror.get(ValueLayout.JAVA_LONG, at + SLOT_BYTES - 8))
                            .isEqualTo(~(1000L + i));
                } else {
                    assertThat(mirror.asSlice(at, SLOT_BYTES).toArray(ValueLayout.JAVA_BYTE))
                            .containsOnly(UNTOUCHED);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 31, -1, Integer.MAX_VALUE - 3})
    void responsesAreGivenFromTheirOwnPlaces(int start) {
        for (int count = 0; count <= 32; count++) {
            SharedRing ring = new SharedRing(arena, 1, start);
            for (int i = 0; i < 32; i++) {
                ring.putRequest(i);
            }
            ring.front.push();
            ring.back.beginSweep();
            MemorySegment mirror = arena.allocate(32L * SLOT_BYTES, 8);
            ring.back.takeRequests(mirror);
            for (int i = 0; i < 32; i++) {
                mirror.set(ValueLayout.JAVA_LONG, (long) (ring.back.answered() + i & 31) * SLOT_BYTES, 2000L + i);
            }
            ring.back.putResponses(mirror, count);
            assertThat(ring.back.answered()).isEqualTo(start + count);
            assertThat(ring.front.beginSweep()).isTrue();
            assertThat(ring.takeResponse()).as("nothing is visible before push").isEqualTo(-1);
            ring.back.push();
            assertThat(ring.front.beginSweep()).isTrue();
            for (int i = 0; i < count; i++) {
                assertThat(ring.takeResponse()).isEqualTo(2000L + i);
            }
            assertThat(ring.takeResponse()).isEqualTo(-1);
        }
    }

    @Test
    void aSlotOfEightBytesIsTakenAsAWord() {
        SharedMemory memory = new SharedMemory(arena.allocate(RingLayout.PAGE_BYTES, RingLayout.PAGE_BYTES));
        FrontRing front = new FrontRing(memory, 8, 0);
        BackRing back = new BackRing(memory, 8, 0, 0);
        MemorySegment slot = arena.allocate(8, 8);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < back.slots(); i++) {
                slot.set(ValueLayout.JAVA_LONG, 0, 0x1122_3344_5566_0000L + round * 1000L + i);
                front.putRequest(slot, 8);
            }
            front.push();
            assertThat(back.beginSweep()).isTrue();
            for (int i = 0; i < back.slots(); i++) {
                assertThat(back.takeWord()).isEqualTo(0x1122_3344_5566_0000L + round * 1000L + i);
                back.putResponse(slot, 8);
            }
            assertThat(back.untaken()).isZero();
            back.push();
            assertThat(front.beginSweep()).isTrue();
            for (int i = 0; i < back.slots(); i++) {
                assertThat(front.takeResponse(slot, 8)).isTrue();
            }
        }
    }
}
