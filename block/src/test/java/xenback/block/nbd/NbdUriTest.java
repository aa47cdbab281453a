package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

final class NbdUriTest {
    @Test
    void namesUnixSocketsByQuery() {
        assertThat(NbdUri.unix(Path.of("/run/xenback/nbd.sock"), "xbd0"))
                .hasToString("nbd+unix:///xbd0?socket=/run/xenback/nbd.sock");
    }

    @Test
    void encodesWhatUrisReserve() {
        assertThat(NbdUri.unix(Path.of("/tmp/a b?c&d+e%f#"), "g\u00e4st/1?"))
                .hasToString("nbd+unix:///g%C3%A4st/1%3F?socket=/tmp/a%20b%3Fc%26d%2Be%25f%23");
    }

    @Test
    void makesRelativePathsAbsolute() {
        assertThat(NbdUri.unix(Path.of("s"), "").getQuery())
                .isEqualTo("socket=" + Path.of("s").toAbsolutePath());
    }

    @Test
    void namesTcpAddressesByAuthority() {
        assertThat(NbdUri.tcp(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), 10809), "xbd0"))
                .hasToString("nbd://127.0.0.1:10809/xbd0");
        assertThat(NbdUri.tcp(new InetSocketAddress(InetAddress.ofLiteral("0.0.0.0"), 10809), ""))
                .hasToString("nbd://127.0.0.1:10809/");
        InetAddress loopback = InetAddress.ofLiteral("::1");
        assertThat(NbdUri.tcp(new InetSocketAddress(loopback, 7), "x")).hasToString("nbd://[0:0:0:0:0:0:0:1]:7/x");
    }
}
