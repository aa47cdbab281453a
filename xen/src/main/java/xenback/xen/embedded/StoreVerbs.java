package xenback.xen.embedded;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.store.StorePermission;
import xenback.xen.store.wire.StoreMessage;

/**
 * The verbs on nodes, with the rights and quotas of the domain that asks. Every refusal comes before the first change.
 * Error names follow the C xenstored.
 */
final class StoreVerbs {
    private enum Right {
        READ,
        WRITE,
        OWN
    }

    private StoreVerbs() {}

    static Answer read(StoreView view, StoreDomain domain, String path) {
        return switch (look(view, domain, path, Right.READ)) {
            case Lookup.Hit(StoreNode node) -> new Answer.Body(node.value());
            case Lookup.Miss(Errno why) -> Answer.refused(why);
        };
    }

    static Answer directory(StoreView view, StoreDomain domain, String path) {
        return switch (look(view, domain, path, Right.READ)) {
            case Lookup.Hit(StoreNode node) -> fitting(StoreMessage.strings(node.childNames()));
            case Lookup.Miss(Errno why) -> Answer.refused(why);
        };
    }

    /** Children from an offset into their list on; an empty name after the last one. */
    static Answer directoryPart(StoreView view, StoreDomain domain, String path, int offsetBytes) {
        return switch (look(view, domain, path, Right.READ)) {
            case Lookup.Hit(StoreNode node) -> new Answer.Body(part(node, offsetBytes));
            case Lookup.Miss(Errno why) -> Answer.refused(why);
        };
    }

    private static String part(StoreNode node, int offsetBytes) {
        StringBuilder body = new StringBuilder().append(node.generation()).append('\0');
        int at = 0;
        for (String name : node.childNames()) {
            if (at >= offsetBytes) {
                if (body.length() + name.length() + 2 > StoreMessage.MAX_BODY_BYTES) {
                    return body.toString();
                }
                body.append(name).append('\0');
            }
            at += name.length() + 1;
        }
        return body.append('\0').toString();
    }

    static Answer permissions(StoreView view, StoreDomain domain, String path) {
        return switch (look(view, domain, path, Right.READ)) {
            case Lookup.Hit(StoreNode node) ->
                fitting(StoreMessage.strings(
                        node.permissions().stream().map(StorePermission::text).toList()));
            case Lookup.Miss(Errno why) -> Answer.refused(why);
        };
    }

    static Answer setPermissions(StoreView view, StoreDomain domain, String path, List<StorePermission> permissions) {
        if (!domain.privileged() && permissions.size() > StoreQuota.PERMISSIONS) {
            return Answer.refused(Errno.ENOSPC);
        }
        return switch (look(view, domain, path, Right.OWN)) {
            case Lookup.Hit(StoreNode node) -> {
                if (!domain.privileged() && permissions.getFirst().domid() != node.owner()) {
                    yield Answer.refused(Errno.EPERM); // a node given away would be charged to its new owner
                }
                yield rewrite(view, domain, path, node.rewritten(node.value(), List.copyOf(permissions), 0));
            }
            case Lookup.Miss(Errno why) -> Answer.refused(why);
        };
    }

    static Answer write(StoreView view, StoreDomain domain, String path, String value) {
        return switch (look(view, domain, path, Right.WRITE)) {
            case Lookup.Hit(StoreNode node) ->
                rewrite(view, domain, path, node.rewritten(value, node.permissions(), 0));
            case Lookup.Miss(Errno why) ->
                why == Errno.ENOENT ? create(view, domain, path, value) : Answer.refused(why);
        };
    }

    static Answer mkdir(StoreView view, StoreDomain domain, String path) {
        return switch (look(view, domain, path, Right.WRITE)) {
            case Lookup.Hit hit -> Answer.OK;
            case Lookup.Miss(Errno why) -> why == Errno.ENOENT ? create(view, domain, path, "") : Answer.refused(why);
        };
    }

    static Answer remove(StoreView view, StoreDomain domain, String path) {
        return switch (look(view, domain, path, Right.WRITE)) {
            case Lookup.Hit(StoreNode node) -> removeFound(view, path, node);
            case Lookup.Miss(Errno why) -> {
                boolean done = why == Errno.ENOENT && view.touch(parentOf(path)) && view.find(parentOf(path)) != null;
                yield done ? Answer.OK : Answer.refused(why);
            }
        };
    }

    private static Answer removeFound(StoreView view, String path, StoreNode node) {
        if (path.equals("/")) {
            return Answer.refused(Errno.EINVAL);
        }
        List<String> gone = new ArrayList<>();
        gone.add(parentOf(path));
        node.forEach(path, (each, ignored) -> gone.add(each));
        for (String each : gone) {
            if (!view.touch(each)) {
                return Answer.refused(Errno.ENOSPC);
            }
        }
        StoreNode before = view.root();
        view.remove(path, node);
        view.removed(path, before);
        return Answer.OK;
    }

    private static Answer rewrite(StoreView view, StoreDomain domain, String path, StoreNode wanted) {
        if (!domain.privileged()) {
            if (wanted.quotaBytes() >= StoreQuota.NODE_BYTES) {
                return Answer.refused(Errno.ENOSPC);
            }
            if (exceedsMemory(view, domain, wanted.bytes(path))) {
                return Answer.refused(Errno.ENOMEM);
            }
        }
        StoreNode before = view.root();
        view.put(path, wanted.value(), wanted.permissions());
        view.changed(path, before);
        return Answer.OK;
    }

    /** Makes a node and what is missing above it. Permissions are the parent's; an unprivileged maker owns what it made. */
    private static Answer create(StoreView view, StoreDomain domain, String path, String value) {
        List<String> missing = new ArrayList<>();
        String at = path;
        @Nullable StoreNode found = view.find(at);
        while (found == null) {
            missing.addFirst(at);
            at = parentOf(at);
            found = view.find(at);
        }
        StoreNode base = found;
        List<StorePermission> permissions = inherited(base.permissions(), domain);
        if (quotaToCreate(view, domain, base, missing, permissions, value) instanceof Answer.Refusal refusal) {
            return refusal;
        }
        if (!view.touch(at) || !missing.stream().allMatch(view::touch)) {
            return Answer.refused(Errno.ENOSPC);
        }
        StoreNode before = view.root();
        for (String each : missing) {
            view.put(each, each.length() == path.length() ? value : "", permissions);
        }
        view.changed(path, before);
        return Answer.OK;
    }

    private static Answer quotaToCreate(
            StoreView view,
            StoreDomain domain,
            StoreNode base,
            List<String> missing,
            List<StorePermission> permissions,
            String value) {
        if (domain.privileged()) {
            return Answer.OK;
        }
        String first = missing.getFirst();
        int nameBytes = first.length() - first.lastIndexOf('/'); // with its NUL instead of the slash
        boolean tooMany = view.nodesOwnedBy(domain.domid()) + missing.size() > StoreQuota.NODES;
        boolean tooLarge = StoreNode.leaf(value, permissions, 0).quotaBytes() >= StoreQuota.NODE_BYTES
                || base.quotaBytes() + nameBytes >= StoreQuota.NODE_BYTES;
        if (tooMany || tooLarge) {
            return Answer.refused(Errno.ENOSPC);
        }
        long bytes = value.length();
        for (String each : missing) {
            bytes += StoreNode.leaf("", permissions, 0).bytes(each);
        }
        return exceedsMemory(view, domain, bytes) ? Answer.refused(Errno.ENOMEM) : Answer.OK;
    }

    private static boolean exceedsMemory(StoreView view, StoreDomain domain, long moreBytes) {
        return view.bytesOwnedBy(domain.domid()) + domain.extraBytes() + moreBytes > StoreQuota.MEMORY_BYTES;
    }

    private static List<StorePermission> inherited(List<StorePermission> parents, StoreDomain domain) {
        if (domain.privileged()) {
            return parents;
        }
        List<StorePermission> own = new ArrayList<>(parents);
        own.set(0, new StorePermission(parents.getFirst().access(), domain.domid()));
        return List.copyOf(own);
    }

    private static Lookup look(StoreView view, StoreDomain domain, String path, Right right) {
        if (!view.touch(path)) {
            return new Lookup.Miss(Errno.ENOSPC);
        }
        @Nullable StoreNode node = view.find(path);
        // Who may not look at the nearest node above is not told whether there is one.
        if (!may(domain, right, view.root().findNearest(path).permissions())) {
            return new Lookup.Miss(Errno.EACCES);
        }
        return node == null ? new Lookup.Miss(Errno.ENOENT) : new Lookup.Hit(node);
    }

    private static boolean may(StoreDomain domain, Right right, List<StorePermission> permissions) {
        return switch (right) {
            case READ -> domain.mayRead(permissions);
            case WRITE -> domain.mayWrite(permissions);
            case OWN -> domain.owns(permissions);
        };
    }

    private static Answer fitting(String body) {
        return body.length() > StoreMessage.MAX_BODY_BYTES ? Answer.refused(Errno.E2BIG) : new Answer.Body(body);
    }

    static String parentOf(String path) {
        int slash = path.lastIndexOf('/');
        return slash <= 0 ? "/" : path.substring(0, slash);
    }
}
