package xenback.daemon;

/** Text for a terminal. Names of files and values from guests must not move the cursor or forge a line. */
final class Printable {
    private Printable() {}

    /** {@code text} with control, format, separator and unpaired surrogate characters written as backslash, u, four digits. */
    static String text(String text) {
        StringBuilder escaped = null;
        for (int i = 0; i < text.length(); ) {
            int codePoint = text.codePointAt(i);
            int next = i + Character.charCount(codePoint);
            if (!harmless(codePoint)) {
                if (escaped == null) {
                    escaped = new StringBuilder(text.length() + 16).append(text, 0, i);
                }
                for (int unit = i; unit < next; unit++) {
                    escaped.append(String.format("\\u%04x", (int) text.charAt(unit)));
                }
            } else if (escaped != null) {
                escaped.appendCodePoint(codePoint);
            }
            i = next;
        }
        return escaped == null ? text : escaped.toString();
    }

    private static boolean harmless(int codePoint) {
        return switch (Character.getType(codePoint)) {
            case Character.CONTROL,
                    Character.FORMAT, // among them the marks that turn the direction of writing
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR,
                    Character.SURROGATE -> false;
            default -> true;
        };
    }
}
