package xenback.xen.embedded;

import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;

/**
 * A transaction: works on its own tree, which began as the live one, and remembers what its outcome depends on. It
 * commits if none of that has changed meanwhile, by doing its writes again on the live tree.
 */
final class StoreTransaction extends StoreView {
    private final LiveTree live;
    private final StoreDomain domain;
    private final StoreNode snapshot;
    private final Set<String> touched = new LinkedHashSet<>();
    private final Map<String, Integer> written = new TreeMap<>(); // path to bytes kept; parents come before children
    private final Set<String> changes = new LinkedHashSet<>();
    private final Set<String> removals = new LinkedHashSet<>();
    private long bytes;

    StoreTransaction(LiveTree live, StoreDomain domain) {
        super(live.root());
        this.live = live;
        this.domain = domain;
        snapshot = live.root();
    }

    /** What it keeps beside the shared tree. */
    long bytes() {
        return bytes;
    }

    @Override
    boolean touch(String path) {
        if (touched.contains(path)) {
            return true;
        }
        if (!domain.privileged() && touched.size() >= StoreQuota.TRANSACTION_NODES) {
            return false;
        }
        bytes += path.length();
        return touched.add(path);
    }

    @Override
    long nextGeneration() {
        return live.nextGeneration();
    }

    @Override
    void changed(String path, StoreNode before) {
        changes.add(path);
    }

    @Override
    void removed(String path, StoreNode before) {
        removals.add(path);
    }

    @Override
    void noteWritten(String path, int nodeBytes) {
        Integer before = written.put(path, nodeBytes);
        bytes += nodeBytes - (before == null ? 0 : before);
    }

    @Override
    int nodesOwnedBy(int domid) {
        return live.nodesOwnedBy(domid) + super.nodesOwnedBy(domid);
    }

    @Override
    long bytesOwnedBy(int domid) {
        return live.bytesOwnedBy(domid); // what is written here counts as bytes(), for it is kept beside the live nodes
    }

    Answer commit() {
        for (String path : touched) {
            if (generationAt(snapshot, path) != generationAt(live.root(), path)) {
                return Answer.refused(Errno.EAGAIN);
            }
        }
        // Others may have used up the quota since the check at the write.
        if (!domain.privileged()
                && super.nodesOwnedBy(domain.domid()) > 0
                && nodesOwnedBy(domain.domid()) > StoreQuota.NODES) {
            return Answer.refused(Errno.ENOSPC);
        }
        StoreNode before = live.root();
        written.keySet().forEach(this::replay);
        removals.forEach(path -> live.removed(path, before));
        changes.forEach(path -> live.changed(path, before));
        return Answer.OK;
    }

    private void replay(String path) {
        StoreNode wanted = find(path);
        StoreNode now = live.find(path);
        if (wanted != null) {
            live.put(path, wanted.value(), wanted.permissions());
        } else if (now != null) {
            live.remove(path, now);
        }
    }

    private static long generationAt(StoreNode root, String path) {
        @Nullable StoreNode node = root.find(path);
        return node == null ? 0 : node.generation();
    }
}
