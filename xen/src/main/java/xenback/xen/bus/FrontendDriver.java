package xenback.xen.bus;

import java.util.SequencedMap;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;

/** The part of a frontend that knows the device's protocol. */
public interface FrontendDriver {
    /** Makes the instance for a device that the toolstack has given to this guest. */
    Instance probe(Address address);

    /**
     * Where a device stands, seen from the guest.
     *
     * @param devid its number
     * @param backendDomid the domain that serves it
     * @param frontend our directory
     * @param backend the backend's directory
     */
    record Address(int devid, int backendDomid, StorePath frontend, StorePath backend) {}

    /** One device. Called by its device's control thread only, and allowed to block. */
    interface Instance {
        /** Makes rings and an event channel; returns the nodes that tell the backend of them. */
        SequencedMap<String, String> prepare() throws XenException;

        /** Reads the backend's properties and begins to use the device. */
        void attach() throws XenException;

        /** The backend's state was written again, or something else was: reads the properties anew. */
        void refresh() throws XenException;

        /** Stops using it: no request is started any more, and those in flight have ended when this returns. */
        void detach();

        /** Gives rings, grants and the event channel back. */
        void release();
    }
}
