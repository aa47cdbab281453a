package xenback.xen.embedded;

/** What an unprivileged domain may use: the defaults of the C xenstored of Xen 4.17 (XSA-326 brought most of them). */
final class StoreQuota {
    static final int NODES = 1000;
    static final int NODE_BYTES = 2048;
    static final int WATCHES = 128;
    static final int TRANSACTIONS = 10;
    static final int TRANSACTION_NODES = 1024;
    static final int PERMISSIONS = 5;
    static final int PATH_BYTES = 2048;
    static final int MEMORY_BYTES = 2_560 * 1024;

    /** Ours: on a real host a domain has one ring, here several programs may speak for it. */
    static final int CONNECTIONS = 32;

    /** Ours, and for domain 0 too, so that a leak of descriptors is refused before it is everybody's. */
    static final int PRIVILEGED_CONNECTIONS = 1024;

    private StoreQuota() {}
}
