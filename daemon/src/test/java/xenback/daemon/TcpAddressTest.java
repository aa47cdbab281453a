package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class TcpAddressTest {
    @Test
    void staysOnLoopbackUnlessAHostIsGiven() throws UserError {
        var address = TcpAddress.parse("10809");

        assertThat(address.getAddress().isLoopbackAddress()).isTrue();
        assertThat(address.getPort()).isEqualTo(10809);
    }

    @ParameterizedTest
    @CsvSource({"192.0.2.1:1, 192.0.2.1, 1", "0.0.0.0:65535, 0.0.0.0, 65535", "[::1]:0, 0:0:0:0:0:0:0:1, 0"})
    void takesAHost(String text, String host, int port) throws UserError {
        var address = TcpAddress.parse(text);

        assertThat(address.getAddress().getHostAddress()).isEqualTo(host);
        assertThat(address.getPort()).isEqualTo(port);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", ":", "host", "host:", ":10809", "65536", "99999", "-1", "::1:10809", "[::1]", "[]:1", "1:2:3"
            })
    void refusesWhatIsNoAddress(String text) {
        assertThatThrownBy(() -> TcpAddress.parse(text))
                .isInstanceOf(UserError.class)
                .hasMessage("bad address '" + text + "'; write it as 10809, 192.0.2.1:10809 or [::1]:10809");
    }
}
