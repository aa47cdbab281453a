package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.ResourceBundle;
import org.junit.jupiter.api.Test;

/** XSA-43 and all that floods a log: what a guest can cause is a line per second and device, and no long one. */
class Xsa43Test {
    private final Lines lines = new Lines();
    private final BoundedLog log = new BoundedLog(lines, "backend/vbd/1/51712");

    /** What a logger was given. */
    private static final class Lines implements System.Logger {
        private final List<String> texts = new ArrayList<>();

        @Override
        public String getName() {
            return "test";
        }

        @Override
        public boolean isLoggable(Level level) {
            return true;
        }

        @Override
        public void log(Level level, ResourceBundle bundle, String text, Throwable thrown) {
            texts.add(text);
        }

        @Override
        public void log(Level level, ResourceBundle bundle, String format, Object... params) {
            texts.add(params[1].toString());
        }
    }

    @Test
    void saysOneLineASecondOfAMillion() {
        long start = Long.MAX_VALUE - Duration.ofSeconds(5).toNanos(); // the time wraps, as it may
        for (int i = 0; i < 1_000_000; i++) {
            log.error("broken " + i, start + Duration.ofSeconds(10).toNanos() * i / 1_000_000);
        }
        assertThat(lines.texts).hasSize(10).startsWith("broken 0");
    }

    @Test
    void cutsLongWordsAndKeepsNoControlCharacters() {
        log.warn("\u001b[2J\n" + "x".repeat(5000), 0);
        assertThat(lines.texts.getFirst())
                .hasSizeLessThan(1100)
                .startsWith("?[2J?xxx")
                .endsWith("x...");
    }
}
