package xenback.fuzz;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Every input in the repository's corpus, which holds those that once broke something, keeps every promise. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class CorpusTest {
    private static final Path CORPUS = Path.of("corpus");

    @ParameterizedTest
    @EnumSource(Target.class)
    void keepsItsPromisesForEveryInputOfTheCorpus(Target target) throws Exception {
        List<Path> inputs = inputs(target);
        assertThat(inputs).as("corpus of %s", target.text()).isNotEmpty();
        try (FuzzTarget fuzzed = target.make()) {
            fuzzed.run(new FuzzInput(new byte[0]));
            for (Path input : inputs) {
                try {
                    fuzzed.run(new FuzzInput(Files.readAllBytes(input)));
                } catch (Exception | AssertionError e) {
                    throw new AssertionError("to repeat: fuzz/run --replay " + target.text() + " fuzz/" + input, e);
                }
            }
        }
    }

    private static List<Path> inputs(Target target) throws IOException {
        try (Stream<Path> files = Files.list(CORPUS.resolve(target.text()))) {
            return files.sorted().toList();
        }
    }
}
