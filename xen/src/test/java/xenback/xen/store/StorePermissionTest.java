package xenback.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import xenback.xen.store.StorePermission.Access;

class StorePermissionTest {
    @Test
    void readsItsOwnText() {
        for (Access access : Access.values()) {
            for (int domid : new int[] {0, 1, 9, 10, 0x7FEF, 0xFFFF}) {
                StorePermission permission = new StorePermission(access, domid);
                assertThat(StorePermission.parse(permission.text())).isEqualTo(permission);
            }
        }
        assertThat(new StorePermission(Access.READ, 3).text()).isEqualTo("r3");
    }

    @Test
    void rejectsEverythingElse() {
        for (String text :
                new String[] {"", "r", "x1", "r-1", "r1x", "r65536", "r999999", "1", "R1", "rr1", "r1 ", "r+1"}) {
            assertThat(StorePermission.of(text)).as(text).isEmpty();
            assertThatThrownBy(() -> StorePermission.parse(text)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void knowsWhatEachLetterAllows() {
        assertThat(Access.NONE.mayRead() || Access.NONE.mayWrite()).isFalse();
        assertThat(Access.READ.mayRead() && !Access.READ.mayWrite()).isTrue();
        assertThat(Access.WRITE.mayWrite() && !Access.WRITE.mayRead()).isTrue();
        assertThat(Access.BOTH.mayRead() && Access.BOTH.mayWrite()).isTrue();
    }
}
