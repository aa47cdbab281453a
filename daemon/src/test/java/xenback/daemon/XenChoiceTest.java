package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class XenChoiceTest {
    @TempDir
    private Path directory;

    @Test
    void autoIsHostInADomainOfAXen() throws IOException {
        Path type = Files.writeString(directory.resolve("type"), "xen\n");

        assertThat(XenChoice.AUTO.settle(type)).isEqualTo(XenChoice.HOST);
        assertThat(XenChoice.EMBEDDED.settle(type)).isEqualTo(XenChoice.EMBEDDED);
    }

    @Test
    void autoIsEmbeddedElsewhere() throws IOException {
        Path other = Files.writeString(directory.resolve("type"), "kvm\n");

        assertThat(XenChoice.AUTO.settle(other)).isEqualTo(XenChoice.EMBEDDED);
        assertThat(XenChoice.AUTO.settle(directory.resolve("missing"))).isEqualTo(XenChoice.EMBEDDED);
        assertThat(XenChoice.HOST.settle(directory.resolve("missing"))).isEqualTo(XenChoice.HOST);
    }
}
