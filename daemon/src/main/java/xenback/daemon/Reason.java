package xenback.daemon;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** Why an operation failed, in words. */
final class Reason {
    private Reason() {}

    /** The reason alone, without the name of the file: the JDK's messages are often only that name. */
    static String of(IOException failure) {
        return switch (failure) {
            case AccessDeniedException denied -> "permission denied";
            case NoSuchFileException missing -> "no such file or directory";
            case FileAlreadyExistsException existing -> "exists already";
            case FileSystemException other when other.getReason() != null -> other.getReason();
            default -> withoutFile(failure);
        };
    }

    /** The file and the reason. */
    static String withFile(IOException failure) {
        return failure instanceof FileSystemException about && about.getFile() != null
                ? about.getFile() + ": " + of(failure)
                : withoutFile(failure);
    }

    /** One line for any failure, as it is shown after the program's name. */
    static String line(Exception failure) {
        return switch (failure) {
            case UserError error -> String.valueOf(error.getMessage());
            case IOException refused -> withFile(refused);
            default -> "internal error: " + failure + "; run it again with -v and report it";
        };
    }

    private static String withoutFile(IOException failure) {
        String message = failure.getMessage();
        return message == null || message.isBlank() ? failure.getClass().getSimpleName() : message;
    }
}
