package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

final class JsonLineTest {
    @Test
    void writesMembersInOrder() {
        String text = new JsonLine()
                .put("text", "a")
                .put("number", -1L)
                .put("flag", true)
                .put("none", List.of())
                .put("list", List.of(new JsonLine().put("x", 1), new JsonLine()))
                .toString();

        assertThat(text).isEqualTo("{\"text\":\"a\",\"number\":-1,\"flag\":true,\"none\":[],\"list\":[{\"x\":1},{}]}");
    }

    @Test
    void escapesWhatRfc8259Wants() {
        assertThat(member("\"\\/\b\f\n\r\t\0\u001f")).isEqualTo("\\\"\\\\/\\u0008\\u000c\\n\\r\\t\\u0000\\u001f");
    }

    @Test
    void escapesWhatReadersMistake() {
        assertThat(member("\u007f\u009b\u2028\u2029")).isEqualTo("\\u007f\\u009b\\u2028\\u2029");
    }

    @Test
    void keepsPairsAndEscapesHalves() {
        assertThat(member("\ud83d\ude00")).isEqualTo("\ud83d\ude00");
        assertThat(member("\ud83d")).isEqualTo("\\ud83d");
        assertThat(member("\ude00")).isEqualTo("\\ude00");
        assertThat(member("\ude00\ud83d")).isEqualTo("\\ude00\\ud83d");
        assertThat(member("a\ud83db")).isEqualTo("a\\ud83db");
    }

    @Test
    void escapesNamesToo() {
        assertThat(new JsonLine().put("a\"b", 1).toString()).isEqualTo("{\"a\\\"b\":1}");
    }

    private static String member(String value) {
        String text = new JsonLine().put("m", value).toString();
        assertThat(text).startsWith("{\"m\":\"").endsWith("\"}");
        return text.substring(6, text.length() - 2);
    }
}
