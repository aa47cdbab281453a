package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.link.TapLink;
import xenback.xen.XenException;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/** What becomes of an interface in a driver domain, where libxl of domain 0 runs no script. Root. */
final class HostNicsTest {
    private static final StorePath BACKEND = StorePath.of("/local/domain/0/backend/vif/7/0");

    private final String id = Long.toString(ProcessHandle.current().pid(), 36);
    private final String bridge = "xbb" + id;
    private final String vif = "xbv" + id;

    @TempDir
    Path directory;

    private EmbeddedXen xen;
    private TapLink tap;

    @BeforeEach
    void openTap() throws Exception {
        Root.need("a TAP and a bridge");
        xen = EmbeddedXen.start(directory);
        tap = TapLink.open(vif, 1);
        Tool.need("ip", "link", "add", bridge, "mtu", "1400", "type", "bridge");
    }

    @AfterEach
    void closeTap() throws Exception {
        if (tap != null) {
            tap.close();
            xen.close();
            Tool.need("ip", "link", "del", bridge);
        }
    }

    private void nodes(Map<String, String> nodes) throws Exception {
        for (Map.Entry<String, String> node : nodes.entrySet()) {
            xen.domain0().store().write(BACKEND.child(node.getKey()), node.getValue());
        }
        HostNics.bridge(tap, xen.domain0().store(), BACKEND);
    }

    private boolean isPort() {
        return Files.exists(Path.of("/sys/class/net", bridge, "brif", vif));
    }

    @Test
    void theTapIsPutOnTheBridgeThatTheToolstackNames() throws Exception {
        nodes(Map.of("script", "/etc/xen/scripts/vif-bridge", "bridge", bridge));
        assertThat(isPort()).isTrue();
        assertThat(tap.isUp()).isTrue();
        assertThat(tap.mtu()).isEqualTo(1400);
    }

    @Test
    void whatAnotherScriptWouldDoIsNotOurs() throws Exception {
        nodes(Map.of("script", "/etc/xen/scripts/vif-route", "bridge", bridge));
        assertThat(isPort()).isFalse();
        assertThat(tap.isUp()).isFalse();
    }

    @Test
    void itHasTheNameThatTheGuestsConfigurationGives() throws Exception {
        XenStore store = xen.domain0().store();
        assertThat(HostNics.named(store, BACKEND, "vif7.0")).isEqualTo("vif7.0");
        store.write(BACKEND.child("vifname"), "web");
        assertThat(HostNics.named(store, BACKEND, "vif7.0")).isEqualTo("web");
        store.write(BACKEND.child("vifname"), "");
        assertThat(HostNics.named(store, BACKEND, "vif7.0")).isEqualTo("vif7.0");
    }

    @Test
    void aBridgeThatIsNotThereIsNamed() {
        assertThatThrownBy(() -> nodes(Map.of("script", "/etc/xen/scripts/vif-bridge", "bridge", "xenbr9")))
                .isInstanceOf(XenException.class)
                .hasMessage("no bridge 'xenbr9' in this driver domain; make it with: ip link add xenbr9 type bridge");
    }
}
