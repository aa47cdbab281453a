package xenback.net.backend;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class RateLimitTest {
    private static final long SECOND = 1_000_000_000L;

    @Test
    void withoutALimitEverythingGoes() {
        for (int i = 0; i < 1000; i++) {
            assertThat(RateLimit.NONE.take(65_535, 0)).isZero();
        }
    }

    /** However the asking is spread, what goes in ten seconds is the rate and one burst. */
    @ParameterizedTest
    @CsvSource({"1000000, 1000000, 1514", "20000, 20000, 60", "50000, 50000, 65535", "1, 1, 9014", "7, 3, 1000"})
    void keepsTheRate(long bytes, long micros, int frame) {
        RateLimit limit = new RateLimit(bytes, micros);
        long now = -SECOND; // any time will do
        long end = now + 10 * SECOND;
        long gone = 0;
        while (now < end) {
            long wait = limit.take(frame, now);
            if (wait == 0) {
                gone += frame;
            } else {
                now += wait;
            }
        }
        double expected = 10.0 * bytes * 1e6 / micros;
        assertThat((double) gone).isBetween(expected * 0.999, expected + burst(bytes, micros) + frame);
    }

    private static double burst(long bytes, long micros) {
        return Math.max((double) Math.max(131_072, bytes), 0.25 * bytes * 1e6 / micros);
    }

    /** The thread that serves does not get a processor for a while: the guest loses nothing by it, and wins nothing. */
    @ParameterizedTest
    @CsvSource({"62500, 50000, 1442", "62500, 50000, 65535", "6250000, 50000, 1514", "20000, 20000, 60", "3, 7, 1514"})
    void aThreadThatComesLateCatchesUp(long bytes, long micros, int frame) {
        RateLimit limit = new RateLimit(bytes, micros);
        Random random = new Random(bytes + frame);
        double perNano = bytes / (micros * 1e3);
        long begin = 5 * SECOND;
        long now = begin;
        long gone = 0;
        long nextLate = begin;
        while (now < begin + 20 * SECOND) {
            long wait = limit.take(frame, now);
            if (wait == 0) {
                gone += frame;
                assertThat((double) gone).isLessThanOrEqualTo(perNano * (now - begin) + burst(bytes, micros) + frame);
                continue;
            }
            now += wait;
            if (now >= nextLate) {
                now += SECOND / 5;
                nextLate = now + random.nextLong(SECOND);
            }
        }
        assertThat((double) gone).isGreaterThanOrEqualTo(0.98 * perNano * (now - begin));
    }

    /** The time of a small frame is no whole number of nanoseconds. */
    @Test
    void smallFramesStayBelowAHighRate() {
        RateLimit limit = new RateLimit(7_000_000_000L, 1_000_000);
        long now = 0;
        long gone = 0;
        while (now < 10_000_000) {
            long wait = limit.take(60, now);
            gone += wait == 0 ? 60 : 0;
            now += wait;
        }
        assertThat(gone).isLessThanOrEqualTo(7_000_000_000L + 7 * now + 60);
    }

    @Test
    void aPauseIsWorthOneBurst() {
        RateLimit limit = new RateLimit(1000, 1_000_000);
        long now = 100 * SECOND;
        long gone = 0;
        while (limit.take(1000, now) == 0) {
            gone += 1000;
        }
        assertThat(gone).isBetween(131_072L, 132_072L);
    }

    @Test
    void aPauseIsWorthAQuarterOfASecondAtHighRates() {
        RateLimit limit = new RateLimit(100_000, 10_000);
        limit.take(1000, 0);
        long gone = 0;
        while (limit.take(1000, 100 * SECOND) == 0) {
            gone += 1000;
        }
        assertThat(gone).isEqualTo(2_500_000);
    }

    @Test
    void theLargestFrameGoesAtTheLowestRate() {
        RateLimit limit = new RateLimit(1, 10_000_000);
        assertThat(limit.take(65_535, 0)).isZero();
        assertThat(limit.take(65_535, 0)).isZero();
        assertThat(limit.take(65_535, 0)).isZero();
        assertThat(limit.take(65_535, 0)).isPositive();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                ",",
                "1",
                "1,",
                ",1",
                "0,1",
                "1,0",
                "1,1,1",
                "-1,1",
                "1e3,1",
                " 1,1",
                "1,99999999",
                "x,y",
                "99999999999999,1"
            })
    void refusesWhatIsNoRate(String text) {
        assertThat(RateLimit.parse(text)).isEmpty();
    }

    @Test
    void readsWhatLibxlWrites() {
        assertThat(RateLimit.parse("20000,20000")).hasValueSatisfying(limit -> {
            assertThat(limit.limits()).isTrue();
            assertThat(limit).hasToString("20000,20000");
        });
    }
}
