package xenback.xen.ring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The free-running counters at every border that they have: the wrap of 32 bits, of the sign, and of the mask. */
class RingCountersTest {
    private static final int SLOTS = 32;

    private final Arena arena = Arena.ofConfined();

    @AfterEach
    void close() {
        arena.close();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -1, -17, -1000, Integer.MAX_VALUE, Integer.MAX_VALUE - 1000, Integer.MIN_VALUE})
    void carriesRequestsAndResponsesInOrderOverEveryBorder(int start) {
        for (int pages : new int[] {1, 4}) {
            SharedRing ring = new SharedRing(arena, pages, start);
            assertThat(ring.back.slots()).isEqualTo(SLOTS * pages);
            Random random = new Random(start);
            long put = 0;
            long taken = 0;
            long answered = 0;
            long heard = 0;
            while (heard < 5000) {
                for (int n = random.nextInt(ring.front.free() + 1); n > 0; n--) {
                    ring.putRequest(put++);
                }
                ring.front.push();
                assertThat(ring.back.beginSweep()).isTrue();
                for (long id = ring.takeRequest(); id != -1; id = ring.takeRequest()) {
                    assertThat(id).isEqualTo(taken++);
                }
                assertThat(taken).isEqualTo(put);
                for (int n = random.nextInt(ring.back.unanswered() + 1); n > 0; n--) {
                    ring.putResponse(answered++);
                }
                ring.back.push();
                assertThat(ring.front.beginSweep()).isTrue();
                for (long id = ring.takeResponse(); id != -1; id = ring.takeResponse()) {
                    assertThat(id).isEqualTo(heard++);
                }
                assertThat(heard).isEqualTo(answered);
            }
        }
    }

    /** io/ring.h, RING_PUSH_..._AND_CHECK_NOTIFY: asked for exactly when the peer's event index is among the new ones. */
    @Test
    void notifiesExactlyWhenTheAwaitedIndexWasPassed() {
        for (int base : new int[] {0, 5, -3, -1, Integer.MAX_VALUE - 2, Integer.MIN_VALUE}) {
            for (int count = 0; count <= 6; count++) {
                for (int event = -4; event <= 12; event++) {
                    SharedRing ring = new SharedRing(arena, 1, base);
                    boolean awaited = event >= 1 && event <= count;

                    ring.memory.setIntRelease(RingLayout.REQ_EVENT, base + event);
                    for (int i = 0; i < count; i++) {
                        ring.putRequest(i);
                    }
                    assertThat(ring.front.push())
                            .as("requests %d..+%d, awaited +%d", base, count, event)
                            .isEqualTo(awaited);

                    assertThat(ring.back.beginSweep()).isTrue();
                    while (ring.takeRequest() >= 0) {
                        ring.putResponse(0);
                    }
                    ring.memory.setIntRelease(RingLayout.RSP_EVENT, base + event);
                    assertThat(ring.back.push())
                            .as("responses %d..+%d, awaited +%d", base, count, event)
                            .isEqualTo(awaited);
                }
            }
        }
    }

    @Test
    void aSecondPushWithoutAnythingNewIsSilentAndPublishesNothing() {
        SharedRing ring = new SharedRing(arena, 1, -1);
        ring.putRequest(1);
        assertThat(ring.front.push()).isTrue();
        assertThat(ring.front.push()).isFalse();
        ring.back.beginSweep();
        ring.takeRequest();
        ring.putResponse(1);
        assertThat(ring.memory.intAcquire(RingLayout.RSP_PROD)).isEqualTo(-1);
        assertThat(ring.back.push()).isTrue();
        assertThat(ring.memory.intAcquire(RingLayout.RSP_PROD)).isZero();
        ring.memory.setIntRelease(RingLayout.RSP_EVENT, 0); // would be due if anything were new
        assertThat(ring.back.push()).isFalse();
    }

    @Test
    void rearmAsksForTheNextOneAndTellsOfWhatCameMeanwhile() {
        for (int base : new int[] {0, -1, Integer.MAX_VALUE}) {
            SharedRing ring = new SharedRing(arena, 1, base);
            assertThat(ring.back.rearm()).isFalse();
            assertThat(ring.memory.intAcquire(RingLayout.REQ_EVENT)).isEqualTo(base + 1);
            ring.putRequest(1);
            assertThat(ring.front.push()).isTrue();
            assertThat(ring.back.rearm()).isTrue();
            ring.back.beginSweep();
            ring.takeRequest();
            assertThat(ring.back.rearm()).isFalse();
            assertThat(ring.memory.intAcquire(RingLayout.REQ_EVENT)).isEqualTo(base + 2);

            assertThat(ring.front.rearm()).isFalse();
            ring.putResponse(1);
            ring.back.push();
            assertThat(ring.front.rearm()).isTrue();
            ring.front.beginSweep();
            ring.takeResponse();
            assertThat(ring.front.rearm()).isFalse();
            assertThat(ring.memory.intAcquire(RingLayout.RSP_EVENT)).isEqualTo(base + 2);
        }
    }

    /** XSA-39: what the frontend may claim is exactly what it has room for, and never less than was seen. */
    @Test
    void refusesEveryClaimThatTheRingCannotHold() {
        for (int rspProd : new int[] {0, -1, -20, Integer.MAX_VALUE - 3}) {
            for (int unanswered = 0; unanswered <= SLOTS; unanswered++) {
                for (int claim = -40; claim <= SLOTS + 40; claim++) {
                    SharedRing ring = new SharedRing(arena, 1, 0);
                    BackRing back = new BackRing(ring.memory, SharedRing.SLOT_BYTES, rspProd + unanswered, rspProd);
                    ring.memory.setIntRelease(RingLayout.REQ_PROD, rspProd + claim);
                    boolean possible = claim >= unanswered && claim <= SLOTS;
                    assertThat(back.beginSweep())
                            .as("rspProd %d, %d unanswered, claims %d", rspProd, unanswered, claim)
                            .isEqualTo(possible);
                    int taken = 0;
                    MemorySegment copy = arena.allocate(SharedRing.SLOT_BYTES);
                    while (back.takeRequest(copy)) {
                        taken++;
                    }
                    assertThat(taken).isEqualTo(possible ? claim - unanswered : 0);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {Integer.MIN_VALUE, Integer.MIN_VALUE + 1, Integer.MAX_VALUE, 1 << 30, -(1 << 30)})
    void refusesClaimsFromTheOtherSideOfTheWorld(int distance) {
        SharedRing ring = new SharedRing(arena, 1, 77);
        ring.memory.setIntRelease(RingLayout.REQ_PROD, 77 + distance);
        assertThat(ring.back.beginSweep()).isFalse();
        ring.memory.setIntRelease(RingLayout.RSP_PROD, 77 + distance);
        assertThat(ring.front.beginSweep()).isFalse();
    }

    @Test
    void believesOneClaimPerSweepHoweverItFlips() {
        SharedRing ring = new SharedRing(arena, 1, -2);
        for (int i = 0; i < 5; i++) {
            ring.putRequest(i);
        }
        ring.front.push();
        assertThat(ring.back.beginSweep()).isTrue();
        for (int i = 0; i < 5; i++) {
            ring.memory.setIntRelease(RingLayout.REQ_PROD, i % 2 == 0 ? 1000 : -1000);
            assertThat(ring.takeRequest()).isEqualTo(i);
        }
        assertThat(ring.takeRequest()).isEqualTo(-1);
        assertThat(ring.back.unanswered()).isEqualTo(5);
        assertThat(ring.back.rearm()).isTrue(); // there is something to look at, and it is refused
        assertThat(ring.back.beginSweep()).isFalse();
    }

    @Test
    void frontendRefusesResponsesToRequestsThatItNeverMade() {
        for (int base : new int[] {0, -2, Integer.MAX_VALUE}) {
            for (int claim = -40; claim <= 40; claim++) {
                SharedRing ring = new SharedRing(arena, 1, base);
                for (int i = 0; i < 4; i++) {
                    ring.putRequest(i);
                }
                ring.front.push();
                ring.putRequest(4); // put, but not published: nobody can have answered it
                ring.memory.setIntRelease(RingLayout.RSP_PROD, base + claim);
                assertThat(ring.front.beginSweep())
                        .as("base %d claim %d", base, claim)
                        .isEqualTo(claim >= 0 && claim <= 4);
            }
        }
    }

    @Test
    void frontendDoesNotOverwriteUnansweredRequests() {
        SharedRing ring = new SharedRing(arena, 1, -7);
        for (int i = 0; i < SLOTS; i++) {
            assertThat(ring.front.free()).isEqualTo(SLOTS - i);
            ring.putRequest(i);
        }
        assertThatThrownBy(() -> ring.putRequest(99)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void startsWithCountersAtZeroAndEventsAtOne() {
        MemorySegment page =
                arena.allocate(RingLayout.PAGE_BYTES, RingLayout.PAGE_BYTES).fill((byte) 0x5A);
        SharedMemory memory = new SharedMemory(page);
        new FrontRing(page, 112);
        assertThat(memory.intAcquire(RingLayout.REQ_PROD)).isZero();
        assertThat(memory.intAcquire(RingLayout.REQ_EVENT)).isOne();
        assertThat(memory.intAcquire(RingLayout.RSP_PROD)).isZero();
        assertThat(memory.intAcquire(RingLayout.RSP_EVENT)).isOne();
        assertThat(page.asSlice(16).mismatch(arena.allocate(RingLayout.PAGE_BYTES - 16)))
                .isEqualTo(-1);
    }

    @Test
    void resumesWhereAnEarlierBackendStopped() {
        SharedRing ring = new SharedRing(arena, 1, 0);
        for (int i = 0; i < 6; i++) {
            ring.putRequest(i);
        }
        ring.front.push();
        MemorySegment page = arena.allocate(RingLayout.PAGE_BYTES, RingLayout.PAGE_BYTES);
        for (long at = 0; at < page.byteSize(); at += 4) {
            page.set(java.lang.foreign.ValueLayout.JAVA_INT, at, ring.memory.intAcquire(at));
        }
        BackRing resumed = BackRing.resume(page, SharedRing.SLOT_BYTES, 4, 2);
        assertThat(resumed.unanswered()).isEqualTo(2);
        assertThat(resumed.beginSweep()).isTrue();
        MemorySegment copy = arena.allocate(SharedRing.SLOT_BYTES, 8);
        assertThat(resumed.takeRequest(copy)).isTrue();
        assertThat(copy.get(java.lang.foreign.ValueLayout.JAVA_LONG, 0)).isEqualTo(4);
    }
}
