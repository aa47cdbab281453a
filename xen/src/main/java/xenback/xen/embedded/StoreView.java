package xenback.xen.embedded;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import xenback.xen.store.StorePermission;

/** The tree as a request works on it: the live one, or a transaction's own. Keeps account of who owns how much. */
abstract sealed class StoreView permits LiveTree, StoreTransaction {
    /** What a domain owns; in a transaction, by how much that changed. */
    private static final class Usage {
        int nodes;
        long bytes;
    }

    private StoreNode root;
    private final Map<Integer, Usage> usage = new HashMap<>();

    StoreView(StoreNode root) {
        this.root = root;
    }

    final StoreNode root() {
        return root;
    }

    final void root(StoreNode newRoot) {
        root = newRoot;
    }

    final @Nullable StoreNode find(String path) {
        return root.find(path);
    }

    /** Says that the outcome depends on a node. False if a transaction may not depend on that many. */
    abstract boolean touch(String path);

    abstract long nextGeneration();

    /** Says what was done, once per request: this is what watches are told. */
    abstract void changed(String path, StoreNode before);

    /** As {@link #changed}, of a node that was removed with all below it. */
    abstract void removed(String path, StoreNode before);

    /** Called for each node that a request wrote or removed; {@code bytes} is 0 for one that is removed. */
    abstract void noteWritten(String path, int bytes);

    int nodesOwnedBy(int domid) {
        Usage owned = usage.get(domid);
        return owned == null ? 0 : owned.nodes;
    }

    long bytesOwnedBy(int domid) {
        Usage owned = usage.get(domid);
        return owned == null ? 0 : owned.bytes;
    }

    final void forgetUsage(int domid) {
        usage.remove(domid);
    }

    /** Makes or changes one node; the parent is there. */
    final void put(String path, String value, List<StorePermission> permissions) {
        StoreNode before = root.find(path);
        long generation = nextGeneration();
        StoreNode node = before == null
                ? StoreNode.leaf(value, permissions, generation)
                : before.rewritten(value, permissions, generation);
        if (before != null) {
            charge(path, before, -1);
        }
        charge(path, node, 1);
        root = root.with(path, node, generation);
        noteWritten(path, node.bytes(path));
    }

    /** Removes a node that is there, with all below it. */
    final void remove(String path, StoreNode node) {
        node.forEach(path, (each, gone) -> {
            charge(each, gone, -1);
            noteWritten(each, 0);
        });
        root = root.without(path, nextGeneration());
    }

    private void charge(String path, StoreNode node, int sign) {
        if (node.owner() != 0) { // domain 0 has no quota
            Usage owned = usage.computeIfAbsent(node.owner(), domid -> new Usage());
            owned.nodes += sign;
            owned.bytes += (long) sign * node.bytes(path);
            if (owned.nodes == 0 && owned.bytes == 0) {
                usage.remove(node.owner());
            }
        }
    }
}
