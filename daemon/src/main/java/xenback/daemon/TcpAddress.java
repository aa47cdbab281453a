package xenback.daemon;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where a TCP listener goes, as typed: {@code [HOST:]PORT}, an IPv6 address in brackets. */
final class TcpAddress {
    private static final Pattern TYPED = Pattern.compile("(?:(?:\\[([^\\]]+)\\]|([^:\\[\\]]+)):)?([0-9]{1,5})");

    private TcpAddress() {}

    /** Loopback where no host is given. Looks names up. Port 0 lets the system choose. */
    static InetSocketAddress parse(String text) throws UserError {
        Matcher typed = TYPED.matcher(text);
        if (!typed.matches() || Integer.parseInt(typed.group(3)) > 0xFFFF) {
            throw UserError.usage("bad address '" + text + "'; write it as 10809, 192.0.2.1:10809 or [::1]:10809");
        }
        int port = Integer.parseInt(typed.group(3));
        String host = typed.group(1) != null ? typed.group(1) : typed.group(2);
        if (host == null) {
            return new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
        }
        try {
            return new InetSocketAddress(InetAddress.getByName(host), port);
        } catch (UnknownHostException unknown) {
            throw UserError.failure("no address is known for host '" + host + "'; give it as a number", unknown);
        }
    }
}
