package xenback.xen.event;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class EventStormTest {
    private final EventStorm storm = new EventStorm();

    @Test
    void pardonsWhatComesByItself() {
        for (int i = 0; i < EventStorm.PARDONED; i++) {
            assertThat(storm.onVainEvent()).isZero();
        }
        assertThat(storm.onVainEvent()).isEqualTo(TimeUnit.MILLISECONDS.toNanos(1));
    }

    @Test
    void waitsLongerAndLongerUpToALimit() {
        long last = 0;
        for (int i = 0; i < 10_000; i++) {
            long delay = storm.onVainEvent();
            assertThat(delay).isGreaterThanOrEqualTo(last).isLessThanOrEqualTo(TimeUnit.MILLISECONDS.toNanos(256));
            last = delay;
        }
        assertThat(last).isEqualTo(TimeUnit.MILLISECONDS.toNanos(256));
    }

    @Test
    void forgivesEverythingForOneRequest() {
        for (int i = 0; i < 1000; i++) {
            storm.onVainEvent();
        }
        storm.calm();
        assertThat(storm.onVainEvent()).isZero();
    }
}
