package xenback.net.backend;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** xnb's self-tests and ours, each as a test. */
final class UnitSuiteTest {
    /** As many as xnb(4) has. */
    private static final int XNB_TESTS = 53;

    @TestFactory
    Stream<DynamicTest> passes() {
        return UnitSuite.names().stream()
                .map(name -> DynamicTest.dynamicTest(
                        name,
                        () -> assertThat(UnitSuite.run(List.of(name)).getFirst().failures())
                                .isEmpty()));
    }

    @Test
    void hasEveryTestOfXnbOnce() {
        List<String> names = UnitSuite.names();
        assertThat(names).doesNotHaveDuplicates();
        assertThat(names.stream().filter(name -> name.startsWith("xnb_"))).hasSize(XNB_TESTS);
    }

    @Test
    void reportsEachResultAndTheSums() throws Exception {
        assertThat(UnitSuite.report(List.of(
                        new UnitSuite.Result("good", List.of()),
                        new UnitSuite.Result("bad", List.of("size is 1, not 2", "rule is RUNT, not NONE")))))
                .isEqualTo("""
                        good: passed
                        bad: FAILED: size is 1, not 2; rule is RUNT, not NONE
                        1 Tests Passed
                        1 Tests FAILED
                        """);
        assertThat(UnitSuite.report(UnitSuite.run())).endsWith(UnitSuite.names().size() + " Tests Passed\n");
    }

    /** The suite can fail. */
    @Test
    void aTrialKeepsWhatIsWrong() {
        try (Trial trial = new Trial(null)) {
            trial.same("size", 2, 1);
            trial.same("rule", "a", "a");
            trial.that("it is green", false);
            assertThat(trial.failures()).containsExactly("size is 1, not 2", "it is green");
        }
    }
}
