package xenback.net.link;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.packet.Checksums;
import xenback.net.packet.FrameHeaders;
import xenback.net.packet.Frames;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;
import xenback.xen.io.Tap;

/** The links that no kernel stands behind. */
final class SoftLinksTest {
    private static final int EVERYTHING =
            Tap.OFFLOAD_CHECKSUM | Tap.OFFLOAD_TSO4 | Tap.OFFLOAD_TSO6 | Tap.OFFLOAD_TSO_ECN;

    @TempDir
    Path dir;

    @Test
    void aPcapFileGetsFinishedFrames() throws Exception {
        Path file = dir.resolve("wire.pcapng");
        try (Link link = PcapLink.open("xnb1i0", file);
                LinkQueue queue = link.openQueue(0)) {
            byte[] large = LinkFrames.tcp(4000);
            MemorySegment gso = LinkFrames.of(large, VnetHeader.NEEDS_CSUM, VnetHeader.GSO_TCPV4, 1448);
            assertThat(LinkFrames.send(queue, gso)).isEqualTo((int) gso.byteSize());
            String blank = Frames.XNB_UDP.replace("dde2", "957b"); // the pseudo-header's sum
            assertThat(LinkFrames.send(queue, LinkFrames.of(blank, VnetHeader.NEEDS_CSUM)))
                    .isPositive();
            assertThat(LinkFrames.send(queue, LinkFrames.of(Frames.XNB_TCP, 0))).isPositive();
            assertThat(LinkFrames.receive(queue)).isEmpty();
        }
        assertThat(Capinfo.read(
                        file,
                        "frame.len",
                        "ip.checksum.status",
                        "tcp.checksum.status",
                        "udp.checksum.status",
                        "frame.comment"))
                .containsExactly("1514|1|1||", "1514|1|1||", "1170|1|1||", "50|1||1|", "74|1|1||");
    }

    @Test
    void aPcapFileRefusesWhatCannotBeFinished() throws Exception {
        try (Link link = PcapLink.open("xnb1i0", dir.resolve("refused.pcapng"));
                LinkQueue queue = link.openQueue(0)) {
            MemorySegment udpAsTcp =
                    LinkFrames.of(Frames.bytes(Frames.XNB_UDP), VnetHeader.NEEDS_CSUM, VnetHeader.GSO_TCPV4, 1448);
            assertThat(LinkFrames.send(queue, udpAsTcp)).isEqualTo(-Errno.EINVAL.number());
            MemorySegment tooMany =
                    LinkFrames.of(LinkFrames.tcp(60000), VnetHeader.NEEDS_CSUM, VnetHeader.GSO_TCPV4, 1);
            assertThat(LinkFrames.send(queue, tooMany)).isEqualTo(-Errno.EINVAL.number());
        }
        assertThat(Capinfo.read(dir.resolve("refused.pcapng"), "frame.len")).isEmpty();
    }

    @Test
    void aPcapFileThatCannotBeWrittenIsNamed() {
        assertThat(org.assertj.core.api.Assertions.catchThrowableOfType(
                        XenException.class, () -> PcapLink.open("xnb1i0", dir)))
                .hasMessageStartingWith(dir + ": cannot be written");
    }

    @Test
    void aHubGivesEveryFrameToAllOthers() throws Exception {
        Hub hub = new Hub();
        Link two = hub.plug("two");
        try (Link one = hub.plug("one");
                Link three = hub.plug("three")) {
            LinkQueue sender = one.openQueue(0);
            LinkQueue second = two.openQueue(0);
            LinkQueue third = three.openQueue(0);
            LinkFrames.send(sender, LinkFrames.of(Frames.XNB_UDP, 0));
            assertThat(LinkFrames.receive(sender)).isEmpty();
            assertThat(LinkFrames.receive(second)).isEqualTo(Frames.XNB_UDP);
            assertThat(LinkFrames.receive(third)).isEqualTo(Frames.XNB_UDP);
            two.close();
            LinkFrames.send(sender, LinkFrames.of(Frames.XNB_TCP, 0));
            assertThat(LinkFrames.receive(second)).isEmpty();
            assertThat(LinkFrames.receive(third)).isEqualTo(Frames.XNB_TCP);
        }
    }

    @Test
    void aHubLeavesUndoneOnlyWhatTheReceiverTakes() throws Exception {
        Hub hub = new Hub();
        try (Link one = hub.plug("one");
                Link able = hub.plug("able");
                Link plain = hub.plug("plain")) {
            LinkQueue sender = one.openQueue(0);
            LinkQueue ableQueue = able.openQueue(0);
            ableQueue.setOffload(EVERYTHING);
            LinkQueue plainQueue = plain.openQueue(0);
            byte[] large = LinkFrames.tcp(3000);
            LinkFrames.send(sender, LinkFrames.of(large, VnetHeader.NEEDS_CSUM, VnetHeader.GSO_TCPV4, 1448));
            assertThat(LinkFrames.receive(ableQueue)).isEqualTo(Frames.hex(MemorySegment.ofArray(large)));
            List<Integer> lengths = new ArrayList<>();
            for (String frame = LinkFrames.receive(plainQueue);
                    !frame.isEmpty();
                    frame = LinkFrames.receive(plainQueue)) {
                MemorySegment memory = Frames.of(frame);
                FrameHeaders headers = Frames.parse(memory);
                assertThat(Checksums.isRight(memory, 0, headers)).isTrue();
                lengths.add(headers.l4Length() - 32);
            }
            assertThat(lengths).containsExactly(1448, 1448, 104);
        }
    }

    @Test
    void aHubCountsWhatAReceiverDoesNotTake() throws Exception {
        Hub hub = new Hub();
        try (Link one = hub.plug("one");
                Link two = hub.plug("two")) {
            LinkQueue sender = one.openQueue(0);
            LinkQueue receiver = two.openQueue(0);
            MemorySegment frame = LinkFrames.of(LinkFrames.tcp(30000), 0, 0, 0);
            int sent = 0;
            while (hub.lost() == 0) {
                LinkFrames.send(sender, frame);
                sent++;
                assertThat(sent).as("a megabyte holds no more than this").isLessThan(40);
            }
            int got = 0;
            while (!LinkFrames.receive(receiver).isEmpty()) {
                got++;
            }
            assertThat(got).isEqualTo(sent - 1);
        }
    }

    @Test
    void aWaitOnAnotherLoopEndsWithTheNextFrame() throws Exception {
        Hub hub = new Hub();
        try (Link one = hub.plug("one");
                Link two = hub.plug("two");
                EventLoop loop = EventLoop.start("two")) {
            LinkQueue sender = one.openQueue(0);
            LinkQueue receiver = two.openQueue(0);
            for (int i = 0; i < 100; i++) { // before, while and after it waits
                CompletableFuture<String> got = new CompletableFuture<>();
                loop.execute(() -> receiver.awaitFrame(
                        loop, (tag, result) -> got.complete(tag + " " + LinkFrames.receive(receiver)), 7));
                if (i % 2 == 0) {
                    loop.call(() -> true);
                }
                LinkFrames.send(sender, LinkFrames.of(Frames.XNB_UDP, 0));
                assertThat(got.get(20, TimeUnit.SECONDS)).isEqualTo("7 " + Frames.XNB_UDP);
            }
        }
    }

    @Test
    void aLoopGivesFramesBackAndDoesWhatIsLeftUndone() throws Exception {
        try (Link link = new LoopLink("loop");
                LinkQueue queue = link.openQueue(0)) {
            LinkFrames.send(queue, LinkFrames.of(Frames.XNB_UDP.replace("dde2", "957b"), VnetHeader.NEEDS_CSUM));
            assertThat(LinkFrames.receive(queue)).isEqualTo(Frames.XNB_UDP);
            assertThat(LinkFrames.receive(queue)).isEmpty();
        }
    }

    @Test
    void nullTakesEverything() throws Exception {
        try (Link link = new NullLink("null");
                LinkQueue queue = link.openQueue(0)) {
            link.setMtu(9000);
            assertThat(link.mtu()).isEqualTo(9000);
            assertThat(LinkFrames.send(queue, LinkFrames.of(Frames.XNB_UDP, 0))).isEqualTo(60);
            assertThat(LinkFrames.receive(queue)).isEmpty();
        }
    }
}
