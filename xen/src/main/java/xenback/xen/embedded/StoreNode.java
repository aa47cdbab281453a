package xenback.xen.embedded;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StorePermission.Access;

/**
 * A node of the store and all below it, never changed: a change makes new nodes from the root down to it and shares all
 * others, so a transaction's snapshot is a pointer. Paths are absolute and valid.
 */
final class StoreNode {
    /** The C daemon's header of a node: generation and three counts. */
    private static final int HEADER_BYTES = 24;

    private static final int PERMISSION_BYTES = 8;

    private final String value;
    private final List<StorePermission> permissions;
    private final long generation;
    private final String[] names; // sorted
    private final StoreNode[] children; // one per name

    private StoreNode(
            String value, List<StorePermission> permissions, long generation, String[] names, StoreNode[] children) {
        this.value = value;
        this.permissions = permissions;
        this.generation = generation;
        this.names = names;
        this.children = children;
    }

    static StoreNode leaf(String value, List<StorePermission> permissions, long generation) {
        return new StoreNode(value, permissions, generation, new String[0], new StoreNode[0]);
    }

    String value() {
        return value;
    }

    List<StorePermission> permissions() {
        return permissions;
    }

    int owner() {
        return permissions.getFirst().domid();
    }

    /** When the value, the permissions or the names of the children last changed; not told by what is further below. */
    long generation() {
        return generation;
    }

    List<String> childNames() {
        return List.of(names);
    }

    /** What this node costs its owner; like the C daemon's database, that includes its whole path. */
    int bytes(String path) {
        return HEADER_BYTES + PERMISSION_BYTES * permissions.size() + value.length() + path.length();
    }

    /** What counts against the quota of a single node: header, permissions, value and the names of the children. */
    int quotaBytes() {
        int bytes = HEADER_BYTES + PERMISSION_BYTES * permissions.size() + value.length();
        for (String name : names) {
            bytes += name.length() + 1;
        }
        return bytes;
    }

    /** The node at a path, seen from this root. */
    @Nullable
    StoreNode find(String path) {
        StoreNode at = this;
        int from = 1;
        while (from < path.length()) {
            int end = endOfPart(path, from);
            int index = Arrays.binarySearch(at.names, path.substring(from, end));
            if (index < 0) {
                return null;
            }
            at = at.children[index];
            from = end + 1;
        }
        return at;
    }

    /** The node at a path or, if there is none, the nearest one above it. */
    StoreNode findNearest(String path) {
        StoreNode at = this;
        int from = 1;
        while (from < path.length()) {
            int end = endOfPart(path, from);
            int index = Arrays.binarySearch(at.names, path.substring(from, end));
            if (index < 0) {
                return at;
            }
            at = at.children[index];
            from = end + 1;
        }
        return at;
    }

    /** This node with another value and other permissions; the children stay. */
    StoreNode rewritten(String newValue, List<StorePermission> newPermissions, long newGeneration) {
        return new StoreNode(newValue, newPermissions, newGeneration, names, children);
    }

    /** This root with {@code node} at a path whose parent is there. A parent that gets a new child gets the generation. */
    StoreNode with(String path, StoreNode node, long newGeneration) {
        return path.equals("/") ? node : with(path, 1, node, newGeneration);
    }

    private StoreNode with(String path, int from, StoreNode node, long newGeneration) {
        int end = endOfPart(path, from);
        String name = path.substring(from, end);
        int index = Arrays.binarySearch(names, name);
        if (end < path.length()) {
            return replaced(index, children[index].with(path, end + 1, node, newGeneration));
        }
        return index >= 0 ? replaced(index, node) : inserted(-index - 1, name, node, newGeneration);
    }

    /** This root without the node at a path that is there. The parent gets the generation. */
    StoreNode without(String path, long newGeneration) {
        return without(path, 1, newGeneration);
    }

    private StoreNode without(String path, int from, long newGeneration) {
        int end = endOfPart(path, from);
        int index = Arrays.binarySearch(names, path.substring(from, end));
        return end < path.length()
                ? replaced(index, children[index].without(path, end + 1, newGeneration))
                : removed(index, newGeneration);
    }

    private StoreNode replaced(int index, StoreNode child) {
        StoreNode[] newChildren = children.clone();
        newChildren[index] = child;
        return new StoreNode(value, permissions, generation, names, newChildren);
    }

    private StoreNode inserted(int index, String name, StoreNode child, long newGeneration) {
        String[] newNames = Arrays.copyOf(names, names.length + 1);
        StoreNode[] newChildren = Arrays.copyOf(children, children.length + 1);
        System.arraycopy(names, index, newNames, index + 1, names.length - index);
        System.arraycopy(children, index, newChildren, index + 1, children.length - index);
        newNames[index] = name;
        newChildren[index] = child;
        return new StoreNode(value, permissions, newGeneration, newNames, newChildren);
    }

    private StoreNode removed(int index, long newGeneration) {
        String[] newNames = Arrays.copyOf(names, names.length - 1);
        StoreNode[] newChildren = Arrays.copyOf(children, children.length - 1);
        System.arraycopy(names, index + 1, newNames, index, newNames.length - index);
        System.arraycopy(children, index + 1, newChildren, index, newChildren.length - index);
        return new StoreNode(value, permissions, newGeneration, newNames, newChildren);
    }

    /** Visits this node, which stands at {@code path}, and all below it, parents first. */
    void forEach(String path, BiConsumer<String, StoreNode> visitor) {
        visitor.accept(path, this);
        for (int i = 0; i < names.length; i++) {
            children[i].forEach(path.equals("/") ? "/" + names[i] : path + "/" + names[i], visitor);
        }
    }

    /**
     * This tree without a domain that is gone, so that the next one of that number inherits nothing (XSA-322): what it
     * owned becomes domain 0's, what it was allowed is taken back.
     */
    StoreNode forgetting(int domid, long newGeneration) {
        StoreNode[] newChildren = new StoreNode[children.length];
        for (int i = 0; i < children.length; i++) {
            newChildren[i] = children[i].forgetting(domid, newGeneration);
        }
        List<StorePermission> newPermissions = forgetting(permissions, domid);
        boolean same = newPermissions.equals(permissions);
        return new StoreNode(value, newPermissions, same ? generation : newGeneration, names, newChildren);
    }

    static List<StorePermission> forgetting(List<StorePermission> permissions, int domid) {
        List<StorePermission> kept = new ArrayList<>();
        StorePermission owner = permissions.getFirst();
        kept.add(owner.domid() == domid ? new StorePermission(Access.NONE, 0) : owner);
        for (StorePermission permission : permissions.subList(1, permissions.size())) {
            if (permission.domid() != domid) {
                kept.add(permission);
            }
        }
        return List.copyOf(kept);
    }

    private static int endOfPart(String path, int from) {
        int slash = path.indexOf('/', from);
        return slash < 0 ? path.length() : slash;
    }
}
