package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class ByteSizeTest {
    @ParameterizedTest
    @CsvSource({
        "0, 0",
        "4096, 4096",
        "100K, 102400",
        "512M, 536870912",
        "512m, 536870912",
        "1G, 1073741824",
        "2T, 2199023255552",
        "8388607T, 9223370937343148032",
        "9223372036854775807, 9223372036854775807",
    })
    void readsUnitsOf1024(String text, long bytes) throws UserError {
        assertThat(ByteSize.parse(text)).isEqualTo(bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "G", "-1", "+1", "1.5G", "1GB", "1 G", "1GiB", "0x10", "99999999999999999999"})
    void refusesWhatIsNoNumberOfBytes(String text) {
        assertThatThrownBy(() -> ByteSize.parse(text))
                .isInstanceOf(UserError.class)
                .hasMessageContaining(text);
    }

    @ParameterizedTest
    @ValueSource(strings = {"8388608T", "9223372036854775808", "9007199254740992K"})
    void refusesWhatOverflows(String text) {
        assertThatThrownBy(() -> ByteSize.parse(text))
                .isInstanceOf(UserError.class)
                .hasMessage("size '" + text + "' is beyond what a file can have");
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0 B",
        "1023, 1023 B",
        "1024, 1.0 KiB",
        "1023000, 999.0 KiB",
        "1024000, 1.0 MiB",
        "1073741824, 1.0 GiB",
        "1.0e13, 9.1 TiB",
    })
    void writesSizesForReading(double bytes, String text) {
        assertThat(ByteSize.text(bytes)).isEqualTo(text);
    }
}
