package xenback.daemon;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Constants that are typed by the name that their {@code toString} gives. */
final class Choice {
    private Choice() {}

    /** The constant of that name. */
    static <E extends Enum<E>> Optional<E> of(Class<E> type, String name) {
        return constants(type).stream()
                .filter(constant -> constant.toString().equals(name))
                .findFirst();
    }

    /** All names, for a message. */
    static <E extends Enum<E>> String known(Class<E> type) {
        return constants(type).stream().map(Enum::toString).collect(Collectors.joining(", "));
    }

    /** The same for an option. */
    static <E extends Enum<E>> ITypeConverter<E> converter(Class<E> type) {
        return name -> of(type, name)
                .orElseThrow(() -> new TypeConversionException("'" + name + "' is not one of " + known(type)));
    }

    private static <E extends Enum<E>> List<E> constants(Class<E> type) {
        return Arrays.asList(type.getEnumConstants());
    }
}
