package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** XenStore while a disk is served, seen with Xen's own tools: by domain 0, by the guest and by another guest. */
@Timeout(120)
final class StoreTreeTest extends Checkout {
    private static final String BACKEND = "/local/domain/0/backend/vbd/1/51712";
    private static final String FRONTEND = "/local/domain/1/device/vbd/51712";

    /** A line of {@code xenstore-ls -fp}. */
    private static final Pattern NODE = Pattern.compile("(\\S+) = \"(.*)\" +\\((.*)\\)");

    @TempDir
    private Path directory;

    private RunningServe serve;

    @BeforeEach
    void serve() throws Exception {
        serve = RunningServe.start(
                directory,
                "--create=1M",
                "--disk=disk.img,raw,xvda,w",
                "--disk=other.img,raw,xvdb,r,guest=2,cache=direct",
                "--disk=third.img,raw,xvdc,w,no-discard,guest=3",
                "--disk=medium.iso,raw,xvdd,cdrom,guest=3",
                "--disk=null:8M,raw,xvde,w,guest=3");
    }

    @AfterEach
    void end() {
        serve.close();
    }

    @Test
    void showsBothEndsConnected() throws Exception {
        Map<String, String> tree = tree(0, "/");

        assertThat(tree)
                .containsEntry(BACKEND, " n0,r1")
                .containsEntry(BACKEND + "/state", "4 n0,r1")
                .containsEntry(BACKEND + "/frontend", FRONTEND + " n0,r1")
                .containsEntry(BACKEND + "/frontend-id", "1 n0,r1")
                .containsEntry(BACKEND + "/online", "1 n0,r1")
                .containsEntry(BACKEND + "/params", directory.resolve("disk.img") + " n0,r1")
                .containsEntry(BACKEND + "/mode", "w n0,r1")
                .containsEntry(BACKEND + "/dev", "xvda n0,r1")
                .containsEntry(BACKEND + "/type", "phy n0,r1")
                .containsEntry(BACKEND + "/device-type", "disk n0,r1")
                .containsEntry(BACKEND + "/discard-enable", "1 n0,r1")
                .containsEntry(BACKEND + "/hotplug-status", "connected n0,r1")
                .containsEntry(BACKEND + "/sectors", "2048 n0,r1")
                .containsEntry(BACKEND + "/sector-size", "512 n0,r1")
                .containsEntry(BACKEND + "/info", "0 n0,r1")
                .containsEntry(BACKEND + "/feature-flush-cache", "1 n0,r1");
        assertThat(tree)
                .containsEntry(FRONTEND, " n1,r0")
                .containsEntry(FRONTEND + "/state", "4 n1,r0")
                .containsEntry(FRONTEND + "/backend", BACKEND + " n1,r0")
                .containsEntry(FRONTEND + "/backend-id", "0 n1,r0")
                .containsEntry(FRONTEND + "/virtual-device", "51712 n1,r0")
                .containsEntry(FRONTEND + "/protocol", "x86_64-abi n1,r0")
                .containsKeys(FRONTEND + "/ring-ref", FRONTEND + "/event-channel")
                .containsEntry("/local/domain/1", " n0,r1")
                .containsEntry("/local/domain/1/device", " n0,r1");
    }

    @Test
    void showsAReadOnlyDirectDiskAsOne() throws Exception {
        assertThat(tree(0, "/local/domain/0/backend/vbd/2/51728"))
                .containsEntry("/local/domain/0/backend/vbd/2/51728/mode", "r n0,r2")
                .containsEntry("/local/domain/0/backend/vbd/2/51728/info", "4 n0,r2")
                .containsEntry("/local/domain/0/backend/vbd/2/51728/direct-io-safe", "1 n0,r2")
                .containsEntry("/local/domain/0/backend/vbd/2/51728/state", "4 n0,r2");
    }

    @Test
    void showsWhatWasAskedForDiscardAndDeviceType() throws Exception {
        assertThat(tree(0, "/local/domain/0/backend/vbd/3"))
                .containsEntry("/local/domain/0/backend/vbd/3/51744/discard-enable", "0 n0,r3")
                .containsEntry("/local/domain/0/backend/vbd/3/51744/device-type", "disk n0,r3")
                .containsEntry("/local/domain/0/backend/vbd/3/51760/discard-enable", "0 n0,r3")
                .containsEntry("/local/domain/0/backend/vbd/3/51760/device-type", "cdrom n0,r3")
                .containsEntry("/local/domain/0/backend/vbd/3/51760/mode", "r n0,r3");
        assertThat(tree(0, "/local/domain/3/device/vbd/51760"))
                .containsEntry("/local/domain/3/device/vbd/51760/device-type", "cdrom n3,r0");
    }

    @Test
    void servesTheNullDiskByItsName() throws Exception {
        assertThat(tree(0, "/local/domain/0/backend/vbd/3/51776"))
                .containsEntry("/local/domain/0/backend/vbd/3/51776/params", "null:8M n0,r3")
                .containsEntry("/local/domain/0/backend/vbd/3/51776/sectors", "16384 n0,r3");
    }

    @Test
    void givesEachGuestItsOwnView() throws Exception {
        assertThat(tree(1, FRONTEND)).containsEntry(FRONTEND + "/state", "4 n1,r0");
        assertThat(tree(1, BACKEND)).containsEntry(BACKEND + "/sectors", "2048 n0,r1");
        assertThat(serve.store(2, "xenstore-read", FRONTEND + "/ring-ref").status())
                .isNotZero();
        assertThat(serve.store(2, "xenstore-read", BACKEND + "/params").status())
                .isNotZero();
        assertThat(serve.store(1, "xenstore-write", BACKEND + "/state", "5").status())
                .isNotZero();
        assertThat(tree(0, BACKEND)).containsEntry(BACKEND + "/state", "4 n0,r1");
    }

    @Test
    void tellsWatchersOfChanges() throws Exception {
        try (Tool guest = serve.storeTool(1, "xenstore-watch", "-n", "2", "/local/domain/1/data");
                Tool domain0 = serve.storeTool(0, "xenstore-watch", "-n", "2", BACKEND + "/note")) {
            guest.awaitOut(line -> line.equals("/local/domain/1/data")); // registered
            domain0.awaitOut(line -> line.equals(BACKEND + "/note"));

            serve.store(1, "xenstore-write", "/local/domain/1/data/hello", "there");
            serve.store(0, "xenstore-write", BACKEND + "/note", "hello");

            assertThat(guest.awaitEnd().out()).endsWith("\n/local/domain/1/data/hello\n");
            assertThat(domain0.awaitEnd().out()).isEqualTo((BACKEND + "/note\n").repeat(2));
        }
    }

    @Test
    void detachesOneDiskWhenTheToolstackAsks() throws Exception {
        // What libxl writes for "xl block-detach"; the other guest's disk stays.
        serve.store(0, "xenstore-write", BACKEND + "/online", "0", BACKEND + "/state", "5");
        serve.tool().awaitErr(line -> line.equals("detach device xbdback1i51712 for domain 1"));

        Tool.awaitTrue(
                "state 6",
                () -> tree(0, BACKEND).getOrDefault(BACKEND + "/state", "").equals("6 n0,r1"));
        assertThat(Tool.need("nbdinfo", "--size", serve.uri(1))).isEqualTo("1048576\n");
        Tool.need("qemu-io", "-r", "-f", "raw", "-c", "read -P 0 0 1M", serve.uri(1));
        serve.stop();
        assertThat(Files.exists(serve.runDir())).isFalse();
    }

    /** Nodes by path, each with its value, a blank and its permissions. */
    private Map<String, String> tree(int domid, String path) throws Exception {
        Tool.Result ls = serve.store(domid, "xenstore-ls", "-fp", path);
        assertThat(ls.status()).as(ls.err()).isZero();
        return ls.out()
                .lines()
                .map(NODE::matcher)
                .filter(Matcher::matches)
                .collect(Collectors.toMap(node -> node.group(1), node -> node.group(2) + " " + node.group(3)));
    }
}
