package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class PrintableTest {
    @ParameterizedTest
    @CsvSource(
            ignoreLeadingAndTrailingWhitespace = false,
            value = {"plain text,plain text", "back\\slash,back\\slash", "\u00e9\ud83d\ude00,\u00e9\ud83d\ude00"})
    void leavesWhatOnlyShowsAsItIs(String text, String shown) {
        assertThat(Printable.text(text)).isEqualTo(shown);
    }

    @Test
    void escapesWhatMovesACursorOrForgesALine() {
        assertThat(Printable.text("a\u001b[2Jb\nc\rd\te\u007f\u009bf"))
                .isEqualTo("a\\u001b[2Jb\\u000ac\\u000dd\\u0009e\\u007f\\u009bf");
    }

    @Test
    void escapesMarksOfDirectionSeparatorsAndHalfCharacters() {
        assertThat(Printable.text("\u202ea\u2028b\u2029c\ud800d\udc00\ud83d\ude00\udb40\udc41"))
                .isEqualTo("\\u202ea\\u2028b\\u2029c\\ud800d\\udc00\ud83d\ude00\\udb40\\udc41");
    }

    @Test
    void leavesNoControlCharacterOfAllCharacters() {
        for (int codePoint = 0; codePoint <= Character.MAX_CODE_POINT; codePoint++) {
            String shown = Printable.text(Character.toString(codePoint));
            assertThat(shown.chars().anyMatch(Character::isISOControl))
                    .as("U+%04X", codePoint)
                    .isFalse();
        }
    }
}
