package xenback.net.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.Granter;
import xenback.xen.ring.FrontRing;

/** All rings of one connection of an honest guest, with a page to send from and one to receive into. */
final class LifeRings {
    /** What an honest guest may choose. */
    record Shape(int queues, boolean split, boolean control, boolean scatterGather, boolean kicks) {}

    /** Keys that not all rings have. */
    static final List<String> KEYS_OF_SOME = List.of(
            "event-channel",
            "event-channel-tx",
            "event-channel-rx",
            "ctrl-ring-ref",
            "event-channel-ctrl",
            "queue-0",
            "queue-1",
            "queue-2");

    private static final int PAGE_BYTES = 4096;
    private static final int FRAME_BYTES = 60;
    private static final int BUFFERS = 8;

    private final Domain guest;
    private final Shape shape;
    private final Granter.Pages pages;
    private final int[] grefs;
    private final EventChannels events;
    private final List<FrontRing> tx = new ArrayList<>();
    private final List<FrontRing> rx = new ArrayList<>();
    private final List<Integer> txPorts = new ArrayList<>();
    private final List<Integer> rxPorts = new ArrayList<>();
    private final FrontRing control;
    private final int controlPort;
    private final MemorySegment slot = Arena.ofAuto().allocate(NetControl.SLOT_BYTES, 8);

    LifeRings(Domain guest, Shape shape) throws XenException {
        this.guest = guest;
        this.shape = shape;
        int count = 2 * shape.queues() + 3;
        pages = guest.allocatePages(count);
        grefs = guest.allocateGrefs(count);
        for (int i = 0; i < count; i++) {
            guest.grant(grefs[i], 0, pages.firstFrame() + i, false);
        }
        events = guest.openEventChannels(0);
        for (int i = 0; i < shape.queues(); i++) {
            tx.add(new FrontRing(page(2 * i), Netif.TX_SLOT_BYTES));
            rx.add(new FrontRing(page(2 * i + 1), Netif.RX_SLOT_BYTES));
            txPorts.add(events.bindUnbound(0));
            rxPorts.add(shape.split() ? events.bindUnbound(0) : txPorts.getLast());
            post(i, BUFFERS);
        }
        control = new FrontRing(page(controlPage()), NetControl.SLOT_BYTES);
        controlPort = events.bindUnbound(0);
    }

    private MemorySegment page(int index) {
        return pages.memory().asSlice((long) index * PAGE_BYTES, PAGE_BYTES);
    }

    private int controlPage() {
        return 2 * shape.queues();
    }

    private void post(int queue, int count) {
        for (int i = 0; i < count; i++) {
            NetSlots.putRxRequest(slot, i, grefs[controlPage() + 2]);
            rx.get(queue).putRequest(slot, Netif.RX_SLOT_BYTES);
        }
        rx.get(queue).push();
    }

    /** The nodes that tell the backend of these rings. */
    SequencedMap<String, String> nodes() {
        SequencedMap<String, String> nodes = new LinkedHashMap<>();
        nodes.put("request-rx-copy", "1");
        nodes.put("feature-rx-notify", shape.kicks() ? "1" : "0");
        nodes.put("feature-sg", shape.scatterGather() ? "1" : "0");
        nodes.put("multi-queue-num-queues", Integer.toString(shape.queues()));
        for (int i = 0; i < shape.queues(); i++) {
            String prefix = shape.queues() > 1 ? "queue-" + i + "/" : "";
            nodes.put(prefix + "tx-ring-ref", Integer.toUnsignedString(grefs[2 * i]));
            nodes.put(prefix + "rx-ring-ref", Integer.toUnsignedString(grefs[2 * i + 1]));
            nodes.put(
                    prefix + (shape.split() ? "event-channel-tx" : "event-channel"),
                    txPorts.get(i).toString());
            if (shape.split()) {
                nodes.put(prefix + "event-channel-rx", rxPorts.get(i).toString());
            }
        }
        if (shape.control()) {
            nodes.put("ctrl-ring-ref", Integer.toUnsignedString(grefs[controlPage()]));
            nodes.put("event-channel-ctrl", Integer.toString(controlPort));
        }
        return nodes;
    }

    /** Sends a frame and asks for a hash, and looks at no answer. */
    void use() {
        int queue = tx.size() - 1;
        if (tx.get(queue).free() > 0) {
            send(queue);
        }
        if (shape.control() && control.free() > 0) {
            ask();
        }
    }

    private void send(int queue) {
        page(controlPage() + 1).fill((byte) 2); // a station's address, not a group's
        NetSlots.putTxRequest(slot, grefs[controlPage() + 1], 0, 0, 0, FRAME_BYTES);
        tx.get(queue).putRequest(slot, Netif.TX_SLOT_BYTES);
        tx.get(queue).push();
        events.notifyPort(txPorts.get(queue));
    }

    private void ask() {
        new NetControl.Message((short) 0, NetControl.SET_HASH_ALGORITHM, NetControl.ALGORITHM_TOEPLITZ, 0, 0)
                .write(slot);
        control.putRequest(slot, NetControl.SLOT_BYTES);
        control.push();
        events.notifyPort(controlPort);
    }

    /** Sends a frame by each queue, which must come back, and a message. What is wrong, in words. */
    String tryAll(Runnable rest) {
        rest.run();
        for (int i = 0; i < tx.size(); i++) {
            drain(tx.get(i), Netif.TX_SLOT_BYTES);
            drain(rx.get(i), Netif.RX_SLOT_BYTES);
            send(i);
            post(i, BUFFERS);
            events.notifyPort(rxPorts.get(i));
            rest.run();
            if (drain(tx.get(i), Netif.TX_SLOT_BYTES) != 1 || NetSlots.txResponseStatus(slot) != 0) {
                return "queue " + i + " sends no frame: " + tx.get(i);
            }
            if (drain(rx.get(i), Netif.RX_SLOT_BYTES) < 1) { // an extra for XDP may be the second
                return "queue " + i + " receives no frame: " + rx.get(i);
            }
        }
        if (!shape.control()) {
            return "";
        }
        drain(control, NetControl.SLOT_BYTES);
        ask();
        rest.run();
        boolean answered = drain(control, NetControl.SLOT_BYTES) == 1;
        return answered && NetControl.Answer.read(slot).equals(NetControl.Answer.SUCCESS) ? "" : "no word of control";
    }

    /** Takes all responses; the last one is left in the slot. */
    private int drain(FrontRing ring, int bytes) {
        int count = 0;
        if (!ring.beginSweep()) {
            return -1;
        }
        while (ring.takeResponse(slot, bytes)) {
            count++;
        }
        return count;
    }

    /** Ends every grant and gives all back; false if the backend uses one. */
    boolean end() {
        for (int gref : grefs) {
            if (!guest.end(gref)) {
                return false;
            }
        }
        guest.freeGrefs(grefs);
        guest.freePages(pages);
        events.close();
        return true;
    }
}
