package xenback.sequence;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class SequencesTest {
    private static final List<String> PROPERTIES = List.of("xenback.seed", "xenback.sequences");

    /** What whoever runs the tests has asked for, and not of these. */
    private final Map<String, String> asked = new HashMap<>();

    @BeforeEach
    void forget() {
        for (String property : PROPERTIES) {
            String value = System.clearProperty(property);
            if (value != null) {
                asked.put(property, value);
            }
        }
    }

    @AfterEach
    void restore() {
        PROPERTIES.forEach(System::clearProperty);
        asked.forEach(System::setProperty);
    }

    private static Sequences<Integer> numbers() {
        return Sequences.<Integer>of(SequencesTest.class, random -> random.nextInt(1000))
                .count(200)
                .longest(100)
                .simpler(number -> number == 0 ? List.of() : List.of(0, number / 2, number - 1));
    }

    @Test
    void saysNothingWhereNothingIsWrong() {
        List<List<Integer>> played = new ArrayList<>();
        assertThatCode(() -> numbers().check(played::add)).doesNotThrowAnyException();
        assertThat(played).hasSize(200);
        assertThat(played).allMatch(steps -> !steps.isEmpty() && steps.size() <= 100);
    }

    @Test
    void playsTheSameSequencesEachTime() {
        List<List<Integer>> first = new ArrayList<>();
        List<List<Integer>> second = new ArrayList<>();
        numbers().check(first::add);
        numbers().check(second::add);
        assertThat(first).isEqualTo(second);
    }

    /** The fault needs one number over 500 and, after it, one of at least 100. */
    @Test
    void cutsAFaultDownToTheSimplestStepsThatShowIt() {
        assertThatThrownBy(() -> numbers().check(steps -> {
                    boolean over = false;
                    for (int step : steps) {
                        if (over && step >= 100) {
                            throw new IllegalStateException("broken by " + step);
                        }
                        over |= step > 500;
                    }
                }))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("broken by 100\nafter 2 of the ")
                .hasMessageContaining(":\n    501\n    100\n")
                .hasMessageMatching("(?s).*to repeat: \\./dev test SequencesTest -Dxenback\\.seed=\\d+");
    }

    @Test
    void repeatsOneSequence() {
        List<List<Integer>> all = new ArrayList<>();
        numbers().check(all::add);
        System.setProperty("xenback.seed", "17");
        List<List<Integer>> one = new ArrayList<>();
        numbers().check(one::add);
        assertThat(one).containsExactly(all.get(16));
    }

    /** A fault that goes when anything is left out is told as it is. */
    @Test
    void keepsWhatIsNeeded() {
        assertThatThrownBy(() -> numbers().simpler(number -> List.of()).check(steps -> {
                    if (steps.size() >= 40) {
                        throw new AssertionError("too long");
                    }
                }))
                .hasMessageContaining("too long\nafter 40 of the ");
    }
}
