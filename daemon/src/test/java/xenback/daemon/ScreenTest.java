package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

final class ScreenTest {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @Test
    void keepsTheStreamsApartAndTheLinesInOrder() {
        try (Screen screen = screen(false)) {
            screen.out("one");
            screen.err("two");
            screen.out("three");
        }

        assertThat(out.toString(StandardCharsets.UTF_8)).isEqualTo("one\nthree\n");
        assertThat(err.toString(StandardCharsets.UTF_8)).isEqualTo("two\n");
    }

    @Test
    void showsNoStatusWhereThereIsNoTerminal() {
        try (Screen screen = screen(false)) {
            screen.status("100/s");
        }

        assertThat(err.toString(StandardCharsets.UTF_8)).isEmpty();
    }

    @Test
    void keepsTheStatusBelowTheLinesAndErasesItAtTheEnd() {
        try (Screen screen = screen(true)) {
            screen.status("100/s");
            screen.err("line");
            screen.status("200/s");
        }

        String drawn = err.toString(StandardCharsets.UTF_8)
                .replace("\r\033[K", "<erase>")
                .replace("\033[?7l", "")
                .replace("\033[?7h", "");
        assertThat(drawn).isEqualTo("<erase>100/s<erase>line\n<erase>100/s<erase>200/s<erase>");
    }

    @Test
    void escapesStringsFromOutside() {
        try (Screen screen = screen(true)) {
            screen.out("a\u001b[2Jb");
            screen.status("c\u001bd\n");
        }

        assertThat(out.toString(StandardCharsets.UTF_8)).isEqualTo("a\\u001b[2Jb\n");
        assertThat(err.toString(StandardCharsets.UTF_8)).contains("c\\u001bd\\u000a");
    }

    @Test
    void neverWaitsForAReaderAndTellsHowManyLinesWereLost() throws InterruptedException {
        var writing = new CountDownLatch(1);
        var reader = new CountDownLatch(1);
        var stuck = new PrintStream(
                new OutputStream() {
                    @Override
                    public void write(int octet) {
                        writing.countDown();
                        try {
                            reader.await();
                        } catch (InterruptedException e) {
                            Thread.currentThread().interrupt();
                        }
                    }
                },
                true,
                StandardCharsets.UTF_8);
        try (Screen screen = new Screen(stuck, stream(err), false)) {
            screen.out("the first is being written");
            writing.await();
            for (int i = 0; i < 1024 + 7; i++) {
                screen.err("line " + i);
            }
            reader.countDown();
        }

        List<String> lines = err.toString(StandardCharsets.UTF_8).lines().toList();
        assertThat(lines).filteredOn(line -> line.startsWith("line ")).hasSizeLessThanOrEqualTo(1024);
        assertThat(lines)
                .filteredOn(line -> line.endsWith(" lines were lost here, nobody read them"))
                .hasSize(1);
    }

    private Screen screen(boolean terminal) {
        return new Screen(stream(out), stream(err), terminal);
    }

    private static PrintStream stream(OutputStream target) {
        return new PrintStream(target, true, StandardCharsets.UTF_8);
    }
}
