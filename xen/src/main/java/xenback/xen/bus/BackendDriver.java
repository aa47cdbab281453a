package xenback.xen.bus;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.SequencedMap;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;

/** What block and net put under the bus: the part of a backend that knows the device's protocol. */
public interface BackendDriver {
    /** Makes the instance for a device that the toolstack has written. Any thread. Cheap: nothing is opened yet. */
    Instance attach(Address address);

    /**
     * Where a device stands.
     *
     * @param kind the backend's directory, such as {@code vbd}
     * @param frontendDomid the guest
     * @param devid its number in that guest
     * @param backend the backend's directory
     */
    record Address(String kind, int frontendDomid, int devid, StorePath backend) {
        /** The form used in messages and for hotplug scripts, {@code backend/vbd/1/51712}. */
        public String xenbusPath() {
            return "backend/" + kind + "/" + frontendDomid + "/" + devid;
        }
    }

    /**
     * One device. Called by its device's control thread only, one call at a time, and allowed to block; never by an event
     * loop.
     */
    interface Instance {
        /** Nodes to publish before state 2: what the frontend must know before it makes its rings. */
        SequencedMap<String, String> offer();

        /**
         * True if {@link #open} comes before state 2 is written: for what the toolstack's hotplug script looks for as soon as
         * libxl has seen that, such as a network interface. Otherwise it comes after, and the script waits for the store.
         */
        default boolean opensBeforeOffer() {
            return false;
        }

        /** Opens the store. The exception's message is for the toolstack's user and names thing and remedy. */
        void open() throws XenException;

        /**
         * Connects to a frontend that is ready.
         *
         * @param frontend its directory; every value in it is hostile
         * @param ties what the session tells its device; of use until {@link #disconnect}, harmless after
         * @return nodes to publish together with state 4
         */
        SequencedMap<String, String> connect(StorePath frontend, Session ties) throws XenException;

        /** The frontend may use the device now: state 4 is written. */
        void published();

        /**
         * True if the frontend's nodes, as they are now, name other rings than those of the session: then it is ended, and
         * the new rings are connected to. Asked at looks while connected, because a frontend may have gone from 4 to 3 and
         * back before anybody saw the 3. Nodes that do not make sense are no new rings: false, or an exception.
         */
        default boolean isOutdated(StorePath frontend) throws XenException {
            return false;
        }

        /**
         * Which of our nodes have new values. Asked about once a second while the store is open, and soon after
         * {@link Session#changed}. What it returns is published if the device is connected, and kept until it could be; a
         * device that is not connected publishes the nodes of {@link #connect} when it is.
         */
        Update update() throws XenException;

        /**
         * The frontend is at 7: it has changed nodes that may change while it is connected (net: {@code xdp-headroom}), and
         * goes on when it is told, by 8, that they are obeyed.
         */
        default void reconfigure() throws XenException {}

        /**
         * The frontend has said 6, and {@link #disconnect} follows. What it still has for us is served before: its rings are there
         * until we say 6. Comes back after a bounded time, whatever the guest does.
         */
        default void serveOut() {}

        /** Ends the session: in-flight requests finish, memory is unmapped, ports are unbound. */
        void disconnect();

        /**
         * The key without which a frontend that is at 3 has not said all: it is waited for, and at 4 at the latest judged. Empty if
         * 3 says that all is there.
         */
        default String saidByFrontend() {
            return "";
        }

        /** Gives the store back. */
        void close();
    }

    /** What a session tells its device. Any thread, an event loop's too: never blocks. */
    interface Session {
        /** The session cannot go on because of the guest; why, for the toolstack's user. The first word counts. */
        void broken(String why);

        /** {@link Instance#update} has something to say. Allocates nothing while the device has not asked yet. */
        void changed();
    }

    /**
     * New values of our nodes.
     *
     * @param announce write our state again too, which makes a frontend read them: Linux' blkfront looks at {@code sectors}
     *     when its watch shows 4 while it is connected (xen_vbd_resize of xen-blkback)
     */
    record Update(SequencedMap<String, String> nodes, boolean announce) {
        /** Nothing is new. */
        public static final Update NONE =
                new Update(Collections.unmodifiableSequencedMap(new LinkedHashMap<>()), false);
    }
}
