package xenback.block.nbd;

import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** The names under which clients reach an export: uri.md of the NetworkBlockDevice project. */
final class NbdUri {
    private static final String UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    private NbdUri() {}

    /** {@code nbd+unix:///export?socket=/path}. */
    static URI unix(Path socket, String export) {
        return URI.create("nbd+unix:///" + encode(export) + "?socket="
                + encode(socket.toAbsolutePath().toString()));
    }

    /** {@code nbd://host:port/export}; a wildcard address becomes the loopback one of its family. */
    static URI tcp(InetSocketAddress address, String export) {
        InetAddress host = address.getAddress();
        boolean six = host instanceof Inet6Address;
        String literal = host.isAnyLocalAddress() ? six ? "::1" : "127.0.0.1" : host.getHostAddress();
        // A zone (fe80::1%eth0) is written %25 in a URI (RFC 6874).
        String authority = six ? "[" + literal.replace("%", "%25") + "]" : literal;
        return URI.create("nbd://" + authority + ":" + address.getPort() + "/" + encode(export));
    }

    /**
     * All but RFC 3986's unreserved characters and the slash. Also the plus sign, which some decoders of queries take for
     * a space.
     */
    private static String encode(String text) {
        StringBuilder encoded = new StringBuilder(text.length());
        for (byte octet : text.getBytes(StandardCharsets.UTF_8)) {
            if (octet == '/' || UNRESERVED.indexOf(octet) >= 0) {
                encoded.append((char) octet);
            } else {
                encoded.append(String.format("%%%02X", octet & 0xff));
            }
        }
        return encoded.toString();
    }
}
