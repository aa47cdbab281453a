package xenback.xen.embedded;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import xenback.xen.Errno;
import xenback.xen.store.StorePermission;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/** Answers requests: takes their bodies apart, then does what they ask. */
final class StoreRequests {
    /** What the toolstack asks about domains. */
    interface Domains {
        /** Does nothing if the domain is there. */
        void introduceDomain(int domid) throws IOException;

        /** False if there is no such domain. */
        boolean releaseDomain(int domid);

        Optional<StoreDomain> domain(int domid);
    }

    private static final String HELP = "check\nhelp\nprint <string>\n";

    private final LiveTree tree;
    private final WatchSet watches;
    private final Domains domains;
    private final Set<ClientConnection> withEvents = new LinkedHashSet<>();

    StoreRequests(LiveTree tree, WatchSet watches, Domains domains) {
        this.tree = tree;
        this.watches = watches;
        this.domains = domains;
    }

    /** Remembers that a connection has something to write that it did not ask for. */
    void hasEvents(ClientConnection connection) {
        withEvents.add(connection);
    }

    /** The connections with events since the last call. */
    List<ClientConnection> takeWithEvents() {
        List<ClientConnection> taken = List.copyOf(withEvents);
        withEvents.clear();
        return taken;
    }

    Answer answer(ClientConnection from, StoreMessage request) {
        StoreDomain domain = from.domain();
        String body = request.body();
        return switch (request.type()) {
            case READ, DIRECTORY, GET_PERMS, MKDIR, RM, WRITE, SET_PERMS, DIRECTORY_PART -> onNode(from, request);
            case WATCH -> watch(from, body);
            case UNWATCH -> unwatch(from, body);
            case TRANSACTION_START -> startTransaction(from, request);
            case TRANSACTION_END -> endTransaction(from, request);
            case RESET_WATCHES -> {
                from.reset(); // of this connection only, whatever tx_id it names (XSA-484)
                watches.remove(from);
                yield Answer.OK;
            }
            case GET_DOMAIN_PATH -> domainPath(body);
            case IS_DOMAIN_INTRODUCED -> isIntroduced(body);
            case CONTROL, INTRODUCE, RELEASE, RESUME, SET_TARGET ->
                domain.privileged() ? byToolstack(request) : Answer.refused(Errno.EACCES);
            case RESTRICT, WATCH_EVENT, ERROR, UNKNOWN -> Answer.refused(Errno.ENOSYS);
        };
    }

    private Answer onNode(ClientConnection from, StoreMessage request) {
        StoreView view = tree;
        if (request.transactionId() != 0) {
            StoreTransaction transaction = from.transaction(request.transactionId());
            if (transaction == null) {
                return Answer.refused(Errno.ENOENT);
            }
            view = transaction;
        }
        int nul = request.body().indexOf('\0');
        String text = nul < 0 ? "" : request.body().substring(0, nul);
        String rest = request.body().substring(nul + 1);
        boolean special = text.startsWith("@");
        if (special && request.type() == MessageType.SET_PERMS) {
            return setSpecialPermissions(from.domain(), text, rest);
        }
        String path = special ? "" : from.domain().absolute(text);
        return path.isEmpty() ? Answer.refused(Errno.EINVAL) : onNode(view, from.domain(), request.type(), path, rest);
    }

    private static Answer onNode(StoreView view, StoreDomain domain, MessageType type, String path, String rest) {
        if (type == MessageType.WRITE) {
            return StoreVerbs.write(view, domain, path, rest);
        }
        if (type == MessageType.SET_PERMS) {
            List<StorePermission> permissions = permissionsOf(rest);
            return permissions.isEmpty()
                    ? Answer.refused(Errno.EINVAL)
                    : StoreVerbs.setPermissions(view, domain, path, permissions);
        }
        if (type == MessageType.DIRECTORY_PART) {
            int offsetBytes = rest.endsWith("\0") ? number(rest.substring(0, rest.length() - 1)) : -1;
            return offsetBytes < 0
                    ? Answer.refused(Errno.EINVAL)
                    : StoreVerbs.directoryPart(view, domain, path, offsetBytes);
        }
        if (!rest.isEmpty()) {
            return Answer.refused(Errno.EINVAL); // the others take one path and nothing behind it
        }
        return switch (type) {
            case READ -> StoreVerbs.read(view, domain, path);
            case DIRECTORY -> StoreVerbs.directory(view, domain, path);
            case GET_PERMS -> StoreVerbs.permissions(view, domain, path);
            case MKDIR -> StoreVerbs.mkdir(view, domain, path);
            case RM -> StoreVerbs.remove(view, domain, path);
            default -> Answer.refused(Errno.ENOSYS);
        };
    }

    private Answer setSpecialPermissions(StoreDomain domain, String name, String rest) {
        List<StorePermission> permissions = permissionsOf(rest);
        if (!domain.privileged()) {
            return Answer.refused(Errno.EACCES);
        }
        boolean done = !permissions.isEmpty() && watches.specialPermissions(name, permissions);
        return done ? Answer.OK : Answer.refused(Errno.EINVAL);
    }

    /** Empty if any of them is none. */
    private static List<StorePermission> permissionsOf(String rest) {
        List<StorePermission> permissions = new ArrayList<>();
        for (String part : rest.endsWith("\0") ? StoreMessage.parts(rest) : List.<String>of()) {
            Optional<StorePermission> permission = StorePermission.of(part);
            if (permission.isEmpty()) {
                return List.of();
            }
            permissions.add(permission.get());
        }
        return permissions;
    }

    private Answer watch(ClientConnection from, String body) {
        List<String> parts = StoreMessage.parts(body);
        StoreDomain domain = from.domain();
        String path = watchPath(domain, body, parts);
        if (path.isEmpty()) {
            return Answer.refused(Errno.EINVAL);
        }
        String token = parts.get(1);
        if (from.hasWatch(path, token)) {
            return Answer.refused(Errno.EEXIST);
        }
        ServerWatch watch = new ServerWatch(parts.getFirst(), path, token);
        if (!domain.privileged()) {
            if (domain.watches >= StoreQuota.WATCHES) {
                return Answer.refused(Errno.E2BIG);
            }
            if (tree.bytesOwnedBy(domain.domid()) + domain.extraBytes() + watch.bytes() > StoreQuota.MEMORY_BYTES) {
                return Answer.refused(Errno.ENOMEM);
            }
        }
        from.addWatch(watch);
        watches.add(from);
        from.event(watch, path);
        return Answer.OK;
    }

    private Answer unwatch(ClientConnection from, String body) {
        List<String> parts = StoreMessage.parts(body);
        String path = watchPath(from.domain(), body, parts);
        if (path.isEmpty()) {
            return Answer.refused(Errno.EINVAL);
        }
        return from.removeWatch(path, parts.get(1)) ? Answer.OK : Answer.refused(Errno.ENOENT);
    }

    /** The absolute path or special name of a body that is a path and a token; empty if it is not. */
    private static String watchPath(StoreDomain domain, String body, List<String> parts) {
        if (parts.size() != 2 || !body.endsWith("\0")) {
            return "";
        }
        String text = parts.getFirst();
        String path = domain.absolute(text);
        return text.startsWith("@") && !path.isEmpty() ? text : path;
    }

    private Answer startTransaction(ClientConnection from, StoreMessage request) {
        StoreDomain domain = from.domain();
        if (request.transactionId() != 0) {
            return Answer.refused(Errno.EBUSY); // they do not nest
        }
        if (!domain.privileged() && domain.transactions.size() >= StoreQuota.TRANSACTIONS) {
            return Answer.refused(Errno.ENOSPC);
        }
        int id = from.startTransaction(new StoreTransaction(tree, domain));
        return new Answer.Body(Integer.toUnsignedString(id) + '\0');
    }

    private static Answer endTransaction(ClientConnection from, StoreMessage request) {
        boolean commit = request.body().equals("T\0");
        if (!commit && !request.body().equals("F\0")) {
            return Answer.refused(Errno.EINVAL);
        }
        StoreTransaction transaction = from.transaction(request.transactionId());
        if (transaction == null) {
            return Answer.refused(Errno.ENOENT);
        }
        from.endTransaction(request.transactionId());
        return commit ? transaction.commit() : Answer.OK;
    }

    private static Answer domainPath(String body) {
        int domid = onlyNumber(body);
        return domid < 0 ? Answer.refused(Errno.EINVAL) : new Answer.Body(StoreDomain.homeOf(domid) + '\0');
    }

    private Answer isIntroduced(String body) {
        int domid = onlyNumber(body);
        if (domid < 0) {
            return Answer.refused(Errno.EINVAL);
        }
        return new Answer.Body(domains.domain(domid).isPresent() ? "T\0" : "F\0");
    }

    private Answer byToolstack(StoreMessage request) {
        List<String> parts = StoreMessage.parts(request.body());
        if (request.type() == MessageType.CONTROL) {
            return control(parts);
        }
        int domid = parts.isEmpty() || !request.body().endsWith("\0") ? -1 : number(parts.getFirst());
        if (domid < 1 || domid > StoreDomain.LAST_DOMID) {
            return Answer.refused(Errno.EINVAL);
        }
        return switch (request.type()) {
            case INTRODUCE -> introduce(domid, parts.size());
            case RELEASE -> domains.releaseDomain(domid) ? Answer.OK : Answer.refused(Errno.ENOENT);
            case RESUME -> domains.domain(domid).isPresent() ? Answer.OK : Answer.refused(Errno.ENOENT);
            case SET_TARGET -> setTarget(domid, parts.size() == 2 ? number(parts.get(1)) : -1);
            default -> Answer.refused(Errno.ENOSYS);
        };
    }

    /** Frame and port of the ring are the hypervisor's affair on a host; here a domain speaks through its socket. */
    private Answer introduce(int domid, int arguments) {
        if (arguments < 3) {
            return Answer.refused(Errno.EINVAL);
        }
        try {
            domains.introduceDomain(domid);
            return Answer.OK;
        } catch (IOException e) {
            return Answer.refused(Errno.EIO);
        }
    }

    private Answer setTarget(int domid, int target) {
        Optional<StoreDomain> domain = domains.domain(domid);
        if (domain.isEmpty() || domains.domain(target).isEmpty()) {
            return Answer.refused(Errno.ENOENT);
        }
        domain.get().target(target);
        return Answer.OK;
    }

    private static Answer control(List<String> parts) {
        return switch (parts.isEmpty() ? "" : parts.getFirst()) {
            case "check", "print" -> Answer.OK; // the tree is consistent by construction; printing goes nowhere
            case "help" -> new Answer.Body(HELP);
            default -> Answer.refused(Errno.EINVAL);
        };
    }

    private static int onlyNumber(String body) {
        List<String> parts = StoreMessage.parts(body);
        return parts.size() == 1 && body.endsWith("\0") ? number(parts.getFirst()) : -1;
    }

    /** A decimal number of up to 7 digits, -1 for anything else. */
    private static int number(String text) {
        if (text.isEmpty() || text.length() > 7) {
            return -1;
        }
        int number = 0;
        for (int i = 0; i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            number = number * 10 + digit;
        }
        return number;
    }
}
