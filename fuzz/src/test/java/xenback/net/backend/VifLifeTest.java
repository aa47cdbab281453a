package xenback.net.backend;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.bus.LifeModel;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.io.EventLoop;

/**
 * The life of an interface in random order, with netif's own events: what the toolstack changes while it is in use, what the
 * guest wishes, rings of other kinds each time, a link that is switched off and has another MTU.
 */
class VifLifeTest {
    @TempDir
    private Path dir;

    @Test
    void comesThroughWhateverHappensAndServesAgain() throws Exception {
        try (EmbeddedXen xen = EmbeddedXen.start(dir.resolve("run"));
                EventLoop loop = EventLoop.start("vif-life", EventLoop.Engine.THREADS)) {
            LifeModel.of(VifLifeTest.class, () -> new VifLife(xen, loop))
                    .with(VifStep::draw)
                    .check(600, 60);
        }
    }
}
