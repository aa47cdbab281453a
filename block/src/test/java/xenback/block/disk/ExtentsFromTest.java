package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ExtentsFromTest {
    private static final Set<String> OF_THE_IMAGE = Set.of("knowsExtents", "nextExtent");

    /** Every method, because one that the interface has a default for is easily forgotten. */
    @Test
    void asksTheDiskForEverythingButItsExtents() throws Exception {
        for (Method method : Disk.class.getMethods()) {
            if (Modifier.isStatic(method.getModifiers())) {
                continue;
            }
            List<String> asked = new ArrayList<>();
            Disk both = new ExtentsFrom(recording("disk", asked), recording("image", asked));
            method.invoke(
                    both,
                    Arrays.stream(method.getParameterTypes())
                            .map(ExtentsFromTest::zero)
                            .toArray());
            String owner = OF_THE_IMAGE.contains(method.getName()) ? "image" : "disk";
            assertThat(asked).containsExactly(owner + "." + method.getName());
        }
    }

    private static Disk recording(String name, List<String> asked) {
        return (Disk) Proxy.newProxyInstance(
                Disk.class.getClassLoader(), new Class<?>[] {Disk.class}, (proxy, method, arguments) -> {
                    asked.add(name + "." + method.getName());
                    return zero(method.getReturnType());
                });
    }

    private static Object zero(Class<?> type) {
        if (type == boolean.class) {
            return false;
        } else if (type == int.class) {
            return 0;
        }
        return type == long.class ? 0L : null;
    }
}
