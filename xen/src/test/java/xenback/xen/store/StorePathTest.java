package xenback.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class StorePathTest {
    @Test
    void acceptsWhatTheDaemonAccepts() {
        for (String text :
                new String[] {"/", "/a", "/local/domain/0", "device/vbd/51712", "a-b_c@D9", "@releaseDomain"}) {
            assertThat(StorePath.isValid(text)).as(text).isTrue();
        }
    }

    @Test
    void rejectsWhatTheDaemonRejects() {
        String[] texts = {"", "//", "/a/", "a//b", "/a//b", "/a b", "/a.b", "/a+b", "/\u00e4", "/a\0", "a/", "/a\n", "~"
        };
        for (String text : texts) {
            assertThat(StorePath.isValid(text)).as(text).isFalse();
            assertThatThrownBy(() -> StorePath.of(text)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void boundsAbsoluteAndRelativePathsApart() {
        assertThat(StorePath.isValid("/" + "a".repeat(3071))).isTrue();
        assertThat(StorePath.isValid("/" + "a".repeat(3072))).isFalse();
        assertThat(StorePath.isValid("a".repeat(2048))).isTrue();
        assertThat(StorePath.isValid("a".repeat(2049))).isFalse();
    }

    @Test
    void walksUpAndDown() {
        StorePath path = StorePath.of("/").child("local").child("domain/3").child(7);

        assertThat(path.text()).isEqualTo("/local/domain/3/7");
        assertThat(path.key()).isEqualTo("7");
        assertThat(path.parent()).isEqualTo(StorePath.of("/local/domain/3"));
        assertThat(StorePath.of("/a").parent()).isEqualTo(StorePath.of("/"));
        assertThatThrownBy(() -> StorePath.of("/").parent()).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> StorePath.of("a").parent()).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void keepsHostileBytesOutOfItsMessage() {
        assertThatThrownBy(() -> StorePath.of("/\u001b[2J" + "x".repeat(5000)))
                .satisfies(e -> assertThat(e.getMessage()).hasSizeLessThan(150).matches("[ -~]*"));
    }
}
