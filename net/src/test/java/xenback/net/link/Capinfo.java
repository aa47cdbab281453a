package xenback.net.link;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What tshark sees in a capture. It must not complain. */
final class Capinfo {
    private Capinfo() {}

    /** For each frame the fields asked for, with a bar between them; checksums are judged. */
    static List<String> read(Path file, String... fields) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("tshark", "-n", "-r", file.toString(), "-T", "fields"));
        for (String protocol : List.of("ip", "tcp", "udp")) {
            command.addAll(List.of("-o", protocol + ".check_checksum:TRUE"));
        }
        command.addAll(List.of("-o", "tcp.relative_sequence_numbers:FALSE", "-E", "separator=|"));
        for (String field : fields) {
            command.addAll(List.of("-e", field));
        }
        Path errors = file.resolveSibling("tshark.err");
        Process process =
                new ProcessBuilder(command).redirectError(errors.toFile()).start();
        List<String> rows = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
                .lines()
                .toList();
        assertThat(process.waitFor()).as(Files.readString(errors)).isZero();
        assertThat(Files.readString(errors).lines().filter(line -> !line.startsWith("Running as user")))
                .isEmpty();
        return rows;
    }
}
