package xenback.xen.embedded;

import xenback.xen.Errno;

/** What came of looking for a node with a certain right. */
sealed interface Lookup {
    /** There it is, and the domain may. */
    record Hit(StoreNode node) implements Lookup {}

    /** ENOENT if it is not there and the domain may know that; else why not. */
    record Miss(Errno errno) implements Lookup {}
}
