package xenback.xen.embedded;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * A model of what Xen gives its domains, in this process: domains with memory, grant tables and event channels, and an
 * xenstored that real tools can talk to. It enforces what Xen enforces, so that a backend which works here has kept the
 * rules; it is not a security boundary, for all domains are this process.
 */
public final class EmbeddedXen implements AutoCloseable {
    /** Domain ids from here on are reserved (DOMID_FIRST_RESERVED in xen.h). */
    public static final int DOMID_LIMIT = 0x7FF0;

    /** A backend's domain needs no memory of its own here: it copies to and from native memory of the process. */
    private static final int DOMAIN0_PAGES = 16;

    private final Object lock = new Object();
    private final Xenstored xenstored;
    private final Domain domain0;

    /** By domid; replaced as a whole under the lock, read without. */
    private volatile @Nullable Domain[] domains = new Domain[8];

    private EmbeddedXen(Xenstored xenstored) throws XenException {
        this.xenstored = xenstored;
        domain0 = add(0, DOMAIN0_PAGES);
    }

    /**
     * Starts the hypervisor with domain 0.
     *
     * @param runDirectory where xenstored puts its sockets: {@code socket} with domain 0's rights, {@code socket.N} with
     *     those of domain N
     */
    public static EmbeddedXen start(Path runDirectory) throws XenException {
        Xenstored xenstored;
        try {
            xenstored = Xenstored.start(runDirectory);
        } catch (IOException e) {
            throw new XenException(Errno.EIO, "cannot start xenstored: " + e.getMessage(), e);
        }
        try {
            return new EmbeddedXen(xenstored);
        } catch (XenException e) {
            xenstored.close();
            throw e;
        }
    }

    /** The domain that backends and the toolstack run in. */
    public Domain domain0() {
        return domain0;
    }

    /**
     * Creates a domain and introduces it to xenstored. Its home in the store is made by the toolstack.
     *
     * @param domid 1 to {@link #DOMID_LIMIT} - 1, not in use
     * @param pages its memory, in pages of 4096 bytes
     */
    public Domain createDomain(int domid, int pages) throws XenException {
        if (domid <= 0 || domid >= DOMID_LIMIT) {
            throw new XenException(Errno.EINVAL, "domain id " + domid + " is out of range 1.." + (DOMID_LIMIT - 1));
        }
        Domain domain = add(domid, pages);
        try {
            xenstored.introduce(domid);
        } catch (IOException e) {
            domain.close();
            throw new XenException(Errno.EIO, "cannot introduce domain " + domid + ": " + e.getMessage(), e);
        }
        return domain;
    }

    /** A running domain; ESRCH-like absence is an exception with EINVAL. */
    Domain domain(int domid) throws XenException {
        Domain domain = domainOrNull(domid);
        if (domain == null) {
            throw new XenException(Errno.EINVAL, "there is no domain " + domid);
        }
        return domain;
    }

    @Nullable
    Domain domainOrNull(int domid) {
        @Nullable Domain[] now = domains;
        return domid >= 0 && domid < now.length ? now[domid] : null;
    }

    /** The socket that speaks with domain 0's rights, for {@code XENSTORED_PATH}. */
    public Path storeSocket() {
        return xenstored.socket();
    }

    Path storeSocket(int domid) {
        return domid == 0 ? xenstored.socket() : xenstored.socket(domid);
    }

    @Override
    public void close() {
        for (Domain domain : domains.clone()) {
            if (domain != null && domain != domain0) {
                domain.close();
            }
        }
        domain0.close();
        xenstored.close();
    }

    void forget(Domain domain) {
        synchronized (lock) {
            @Nullable Domain[] next = domains.clone();
            next[domain.domid()] = null;
            domains = next;
        }
        if (domain.domid() != 0) {
            try {
                xenstored.release(domain.domid());
            } catch (IOException e) {
                // It is closed: then nothing of the domain is left in it either.
            }
        }
    }

    private Domain add(int domid, int pages) throws XenException {
        synchronized (lock) {
            if (domainOrNull(domid) != null) {
                throw new XenException(Errno.EEXIST, "domain " + domid + " exists");
            }
            Domain domain = new Domain(this, domid, pages, lock);
            @Nullable Domain[] next = Arrays.copyOf(domains, Math.max(domains.length, domid + 1));
            next[domid] = domain;
            domains = next;
            return domain;
        }
    }
}
