package xenback.xen.testing;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.GrantWindow;
import xenback.xen.io.EventLoop;
import xenback.xen.store.XenStore;

/**
 * A domain's port to its hypervisor, and a test that acts within the backend's calls, on the thread that makes them: so a guest
 * does something at a moment that it would otherwise have to hit by luck. The domain's own port stays the owner's to close.
 */
public final class HookedXen implements Xen {
    private final Xen xen;
    private volatile Consumer<GrantCopyBatch> beforeCopy = batch -> {};
    private volatile IntConsumer beforeUnmask = port -> {};
    private volatile IntConsumer beforeRemove = place -> {};

    public HookedXen(Xen xen) {
        this.xen = xen;
    }

    /** Has {@code hook} called before each grant copy; the batch is the callee's to read only. */
    public HookedXen beforeCopy(Consumer<GrantCopyBatch> hook) {
        beforeCopy = hook;
        return this;
    }

    /** Has {@code hook} called with each port before it is unmasked. */
    public HookedXen beforeUnmask(IntConsumer hook) {
        beforeUnmask = hook;
        return this;
    }

    /** Has {@code hook} called with each place of a window before its page is unmapped. */
    public HookedXen beforeRemove(IntConsumer hook) {
        beforeRemove = hook;
        return this;
    }

    @Override
    public int domid() {
        return xen.domid();
    }

    @Override
    public XenStore store() {
        return xen.store();
    }

    @Override
    public EventChannels openEventChannels(int remoteDomid) throws XenException {
        return new Events(xen.openEventChannels(remoteDomid));
    }

    @Override
    public GrantTable openGrantTable() throws XenException {
        return new Grants(xen.openGrantTable());
    }

    @Override
    public void close() {}

    private final class Grants implements GrantTable {
        private final GrantTable grants;

        Grants(GrantTable grants) {
            this.grants = grants;
        }

        @Override
        public GrantMapping map(int domid, int[] grefs, boolean writable) throws XenException {
            return grants.map(domid, grefs, writable);
        }

        @Override
        public GrantWindow openWindow(int domid, int places) throws XenException {
            return new Window(grants.openWindow(domid, places));
        }

        @Override
        public MemorySegment allocateLocal(Arena owner, long bytes) {
            return grants.allocateLocal(owner, bytes);
        }

        @Override
        public int copy(GrantCopyBatch batch) {
            beforeCopy.accept(batch);
            return grants.copy(batch);
        }

        @Override
        public void close() {
            grants.close();
        }
    }

    private final class Window implements GrantWindow {
        private final GrantWindow window;

        Window(GrantWindow window) {
            this.window = window;
        }

        @Override
        public MemorySegment memory() {
            return window.memory();
        }

        @Override
        public boolean put(int place, int gref, boolean writable) {
            return window.put(place, gref, writable);
        }

        @Override
        public void remove(int place) {
            beforeRemove.accept(place);
            window.remove(place);
        }

        @Override
        public void close() {
            window.close();
        }
    }

    private final class Events implements EventChannels {
        private final EventChannels events;

        Events(EventChannels events) {
            this.events = events;
        }

        @Override
        public void listen(EventLoop loop, EventLoop.TurnEnd onEvent) {
            events.listen(loop, onEvent);
        }

        @Override
        public int bindInterdomain(int remoteDomid, int remotePort) throws XenException {
            return events.bindInterdomain(remoteDomid, remotePort);
        }

        @Override
        public int bindUnbound(int remoteDomid) throws XenException {
            return events.bindUnbound(remoteDomid);
        }

        @Override
        public void unbind(int port) throws XenException {
            events.unbind(port);
        }

        @Override
        public void notifyPort(int port) {
            events.notifyPort(port);
        }

        @Override
        public int takePending(int[] ports) {
            return events.takePending(ports);
        }

        @Override
        public void unmask(int port) {
            beforeUnmask.accept(port);
            events.unmask(port);
        }

        @Override
        public void close() {
            events.close();
        }
    }
}
