package xenback.net.packet;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What Wireshark's tshark, which knows nothing of our code, reads in frames. */
public final class Tshark {
    /** Its columns, in the order of {@link #read}. */
    private static final List<String> FIELDS = List.of(
            "ip.checksum.status",
            "tcp.checksum.status",
            "udp.checksum.status",
            "sctp.checksum.status",
            "icmp.checksum.status",
            "icmpv6.checksum.status",
            "_ws.malformed");

    /** Checksum columns hold these. */
    public static final String BAD = "0";

    public static final String GOOD = "1";

    private final Path pcap;
    private final OutputStream out;

    /** Begins a file of frames. */
    public Tshark(Path pcap) throws IOException {
        this.pcap = pcap;
        out = new BufferedOutputStream(Files.newOutputStream(pcap), 1 << 16);
        ByteBuffer header = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN);
        header.putInt(0xA1B2C3D4).putShort((short) 2).putShort((short) 4);
        header.putInt(16, 262_144).putInt(20, 1); // longest frame, Ethernet
        out.write(header.array());
    }

    public void add(byte[] frame) throws IOException {
        ByteBuffer header = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
        header.putInt(8, frame.length).putInt(12, frame.length);
        out.write(header.array());
        out.write(frame);
    }

    /** Ends the file and has it read: for each frame the first value of each field, or an empty one. */
    public List<String[]> read() throws IOException, InterruptedException {
        out.close();
        List<String> command = new ArrayList<>(List.of("tshark", "-n", "-r", pcap.toString(), "-T", "fields"));
        for (String preference : List.of(
                "ip.check_checksum:TRUE",
                "tcp.check_checksum:TRUE",
                "udp.check_checksum:TRUE",
                "sctp.checksum:CRC 32c",
                "ip.defragment:FALSE",
                "ipv6.defragment:FALSE",
                "tcp.analyze_sequence_numbers:FALSE",
                "tcp.desegment_tcp_streams:FALSE",
                "tcp.relative_sequence_numbers:FALSE")) {
            command.addAll(List.of("-o", preference));
        }
        for (String field : FIELDS) {
            command.addAll(List.of("-e", field));
        }
        command.addAll(List.of("-E", "occurrence=f"));
        Path errors = pcap.resolveSibling("tshark.err");
        Process process =
                new ProcessBuilder(command).redirectError(errors.toFile()).start();
        List<String[]> rows = new ArrayList<>();
        for (String line : process.inputReader().lines().toList()) {
            rows.add(line.split("\t", -1));
        }
        if (process.waitFor() != 0) {
            throw new IOException("tshark: " + Files.readString(errors));
        }
        return rows;
    }

    /** The column with the verdict on the checksum of an IP protocol. */
    public static int column(int protocol) {
        return switch (protocol) {
            case 6 -> 1;
            case 17 -> 2;
            case 132 -> 3;
            case 1 -> 4;
            case 58 -> 5;
            default -> throw new IllegalArgumentException("protocol " + protocol);
        };
    }
}
