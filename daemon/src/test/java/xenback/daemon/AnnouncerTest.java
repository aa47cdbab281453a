package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import xenback.block.protocol.Vdev;

final class AnnouncerTest {
    private static final String NAME = "xbdback1i51712";
    private static final Vdev XVDA = new Vdev(51712);
    private static final List<ServeEvent> LIFE = List.of(
            new ServeEvent.Attached(NAME, 1, XVDA, "/a\n\"b.img", 1 << 20, false),
            new ServeEvent.Connected(NAME, 1, XVDA, 7, "x86_64-abi", 1),
            new ServeEvent.Export("xbd0", NAME, XVDA, 1, 1 << 20, true, "nbd+unix:///xbd0?socket=/run/x/nbd.sock"),
            new ServeEvent.NicAttached("xnb1i0", 1, "web"),
            new ServeEvent.NicConnected("xnb1i0", 1, 9, 2),
            new ServeEvent.NicCarrier("xnb1i0", 1, true),
            new ServeEvent.Cable(
                    "xn0",
                    "xnb1i0",
                    1,
                    "00:16:3e:00:00:01",
                    1500,
                    "tap web",
                    "g1",
                    List.of("10.0.0.2/24", "fd00::2/64")),
            new ServeEvent.Status(List.of(new DiskRate("xbd0", NAME, 2000.4, 8192000, 0, 0, 32)), List.of()),
            new ServeEvent.Status(List.of(), List.of(new NicTraffic("xn0", "xnb1i0", 20, 30000, 0.4, 26))),
            new ServeEvent.Failed("the world ended"),
            new ServeEvent.Detached(NAME, 1),
            new ServeEvent.Stopped());

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @Test
    void tellsPeopleInTheWordsOfXbdback() {
        tell(HumanAnnouncer::new);

        assertThat(out.toString(StandardCharsets.UTF_8))
                .isEqualTo("xbd0 (xvda of domain 1, 1.0 MiB, read-only): nbd+unix:///xbd0?socket=/run/x/nbd.sock\n"
                        + "xn0 (00:16:3e:00:00:01 of domain 1, mtu 1500, 10.0.0.2/24 fd00::2/64, in namespace g1)"
                        + " - xnb1i0: tap web\n");
        assertThat(err.toString(StandardCharsets.UTF_8)).isEqualTo("""
                        xbd backend: attach device /a\\u000a"b.img (size 1048576) for domain 1
                        xbd backend 0xca00 for domain 1 using event channel 7, protocol x86_64-abi
                        xnb backend: attach interface xnb1i0 (web) for domain 1
                        xnb backend: xnb1i0 for domain 1 using event channel 9, 2 queues
                        xnb backend: xnb1i0 has a carrier
                        xenback: the world ended
                        detach device xbdback1i51712 for domain 1
                        a log line
                        """);
    }

    @Test
    void tellsProgramsOneObjectPerLine() {
        tell(JsonAnnouncer::new);

        assertThat(out.toString(StandardCharsets.UTF_8)).isEqualTo("""
                        {"event":"attached","interface":"xbdback1i51712","domid":1,"vdev":"xvda","number":51712,\
                        "disk":"/a\\n\\"b.img","sizeBytes":1048576,"readOnly":false}
                        {"event":"connected","interface":"xbdback1i51712","domid":1,"vdev":"xvda","port":7,\
                        "protocol":"x86_64-abi","queues":1}
                        {"event":"export","name":"xbd0","interface":"xbdback1i51712","domid":1,"vdev":"xvda",\
                        "sizeBytes":1048576,"readOnly":true,"uri":"nbd+unix:///xbd0?socket=/run/x/nbd.sock"}
                        {"event":"attached","interface":"xnb1i0","domid":1,"link":"web"}
                        {"event":"connected","interface":"xnb1i0","domid":1,"port":9,"queues":2}
                        {"event":"carrier","interface":"xnb1i0","domid":1,"on":true}
                        {"event":"cable","name":"xn0","interface":"xnb1i0","domid":1,"mac":"00:16:3e:00:00:01","mtu":1500,\
                        "link":"tap web","namespace":"g1","addresses":"10.0.0.2/24 fd00::2/64"}
                        {"event":"status","disks":[{"name":"xbd0","interface":"xbdback1i51712","readsPerSecond":2000,\
                        "readBytesPerSecond":8192000,"writesPerSecond":0,"writtenBytesPerSecond":0,"queueDepth":32}]}
                        {"event":"status","disks":[],"nics":[{"name":"xn0","interface":"xnb1i0","sentPerSecond":20,\
                        "sentBytesPerSecond":30000,"receivedPerSecond":0,"receivedBytesPerSecond":26}]}
                        {"event":"error","message":"the world ended"}
                        {"event":"detached","interface":"xbdback1i51712","domid":1}
                        {"event":"stopped"}
                        """);
        assertThat(err.toString(StandardCharsets.UTF_8)).isEqualTo("a log line\n");
    }

    @Test
    void putsAllOnOneStatusLine() {
        assertThat(HumanAnnouncer.statusLine(
                        List.of(
                                new DiskRate("xbd0", "a", 2000.4, 8192000, 0, 0, 32),
                                new DiskRate("xbd1", "b", 0, 0, 1, 512, 1)),
                        List.of(new NicTraffic("xn0", "c", 20, 30000, 0.4, 26))))
                .isEqualTo("xbd0 read 7.8 MiB/s 2000/s write 0 B/s 0/s queue 32"
                        + " | xbd1 read 0 B/s 0/s write 512 B/s 1/s queue 1"
                        + " | xn0 sent 29.3 KiB/s 20/s received 26 B/s 0/s");
    }

    private void tell(Function<Screen, Announcer> kind) {
        try (Screen screen = new Screen(stream(out), stream(err), false)) {
            Announcer announcer = kind.apply(screen);
            LIFE.forEach(announcer::tell);
            announcer.log("a log line");
        }
    }

    private static PrintStream stream(ByteArrayOutputStream target) {
        return new PrintStream(target, true, StandardCharsets.UTF_8);
    }
}
