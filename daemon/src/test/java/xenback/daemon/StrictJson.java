package xenback.daemon;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads one JSON text by the letter of RFC 8259, and nothing more lenient. Objects become maps, arrays lists, numbers
 * doubles; a name given twice is refused, as is {@code null}, which nothing here should say.
 */
final class StrictJson {
    private final String text;
    private int at;

    private StrictJson(String text) {
        this.text = text;
    }

    /** @throws IllegalArgumentException if the text is not exactly one value */
    static Object parse(String text) {
        var reader = new StrictJson(text);
        Object value = reader.value();
        reader.blanks();
        if (reader.at != text.length()) {
            throw reader.wrong("the end");
        }
        return value;
    }

    /** As {@link #parse}, for a text that must be an object. */
    @SuppressWarnings("unchecked") // the names of an object are strings
    static Map<String, Object> object(String text) {
        if (parse(text) instanceof Map<?, ?> members) {
            return (Map<String, Object>) members;
        }
        throw new IllegalArgumentException("not an object: " + text);
    }

    /** The member of nested objects and arrays that names and indices lead to. */
    static Object at(Object value, Object... steps) {
        Object found = value;
        for (Object step : steps) {
            found = found instanceof List<?> list ? list.get((Integer) step) : ((Map<?, ?>) found).get(step);
        }
        return found;
    }

    private Object value() {
        blanks();
        return switch (peek()) {
            case '{' -> members();
            case '[' -> elements();
            case '"' -> string();
            case 't' -> word("true", true);
            case 'f' -> word("false", false);
            default -> number();
        };
    }

    private Map<String, Object> members() {
        Map<String, Object> members = new LinkedHashMap<>();
        at++;
        blanks();
        if (took('}')) {
            return members;
        }
        do {
            blanks();
            String name = string();
            blanks();
            take(':');
            if (members.put(name, value()) != null) {
                throw wrong("a name not given before");
            }
            blanks();
        } while (took(','));
        take('}');
        return members;
    }

    private List<Object> elements() {
        List<Object> elements = new ArrayList<>();
        at++;
        blanks();
        if (took(']')) {
            return elements;
        }
        do {
            elements.add(value());
            blanks();
        } while (took(','));
        take(']');
        return elements;
    }

    private String string() {
        take('"');
        var string = new StringBuilder();
        while (!took('"')) {
            char next = peek();
            at++;
            if (next < ' ') {
                throw wrong("an escape for a control character");
            }
            string.append(next == '\\' ? escaped() : next);
        }
        return string.toString();
    }

    private char escaped() {
        char kind = peek();
        at++;
        return switch (kind) {
            case '"', '\\', '/' -> kind;
            case 'b' -> '\b';
            case 'f' -> '\f';
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 't' -> '\t';
            case 'u' -> {
                at += 4;
                if (at > text.length() || !text.substring(at - 4, at).matches("[0-9a-fA-F]{4}")) {
                    throw wrong("four hexadecimal digits");
                }
                yield (char) Integer.parseInt(text.substring(at - 4, at), 16);
            }
            default -> throw wrong("an escape");
        };
    }

    private Object number() {
        int from = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String number = text.substring(from, at);
        if (!number.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?")) {
            throw wrong("a value");
        }
        return Double.valueOf(number);
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong(word);
        }
        at += word.length();
        return value;
    }

    private void blanks() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw wrong("more");
        }
        return text.charAt(at);
    }

    private boolean took(char wanted) {
        boolean there = peek() == wanted;
        at += there ? 1 : 0;
        return there;
    }

    private void take(char wanted) {
        if (!took(wanted)) {
            throw wrong("'" + wanted + "'");
        }
    }

    private IllegalArgumentException wrong(String expected) {
        return new IllegalArgumentException("expected " + expected + " at " + at + " of: " + text);
    }
}
