package xenback.daemon;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.RandomAccessFile;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import org.junit.jupiter.api.Test;

/** The arrows of ARCHITECTURE.md that module descriptors cannot draw. */
final class ArchitectureTest {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("xenback");

    @Test
    void seesTheClassesOfEveryModule() {
        assertThat(CLASSES.contain("xenback.xen.Xen")).isTrue();
        assertThat(CLASSES.contain("xenback.block.disk.Disk")).isTrue();
        assertThat(CLASSES.contain("xenback.net.packet.Mac")).isTrue();
        assertThat(CLASSES.contain("xenback.daemon.Main")).isTrue();
    }

    @Test
    void xenKnowsNoDevice() {
        noClasses()
                .that()
                .resideInAPackage("xenback.xen..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("xenback.block..", "xenback.net..", "xenback.daemon..")
                .check(CLASSES);
    }

    @Test
    void blockDoesNotKnowTheProgram() {
        noClasses()
                .that()
                .resideInAPackage("xenback.block..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("xenback.net..", "xenback.daemon..")
                .check(CLASSES);
    }

    @Test
    void netKnowsNeitherDisksNorTheProgram() {
        noClasses()
                .that()
                .resideInAPackage("xenback.net..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("xenback.block..", "xenback.daemon..")
                .check(CLASSES);
    }

    @Test
    void theTwoEndsOfTheBlockProtocolDoNotKnowEachOther() {
        noClasses()
                .that()
                .resideInAPackage("xenback.block.backend..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("xenback.block.frontend..", "xenback.block.nbd..")
                .allowEmptyShould(true)
                .check(CLASSES);
        noClasses()
                .that()
                .resideInAPackage("xenback.block.frontend..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("xenback.block.backend..")
                .allowEmptyShould(true)
                .check(CLASSES);
    }

    @Test
    void protocolsArePureFunctionsOnMemory() {
        noClasses()
                .that()
                .resideInAPackage("xenback.block.protocol..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "xenback.block.backend..",
                        "xenback.block.frontend..",
                        "xenback.block.disk..",
                        "xenback.block.nbd..",
                        "java.nio.channels..",
                        "java.nio.file..",
                        "java.util.concurrent..")
                .check(CLASSES);
    }

    @Test
    void onlyTheRoomsForItCallNativeCodeOrMakeMemoryOutOfAddresses() {
        classes()
                .that()
                .resideOutsideOfPackages("xenback.xen.io..", "xenback.xen.host..")
                .should(new ArchCondition<>("not leave the JVM") {
                    @Override
                    public void check(JavaClass item, ConditionEvents events) {
                        for (JavaAccess<?> access : item.getAccessesFromSelf()) {
                            JavaClass owner = access.getTargetOwner();
                            if (owner.isEquivalentTo(Linker.class)
                                    || owner.isEquivalentTo(SymbolLookup.class)
                                    || (owner.isEquivalentTo(MemorySegment.class)
                                            && (access.getName().equals("reinterpret")
                                                    || access.getName().equals("ofAddress")))) {
                                events.add(SimpleConditionEvent.violated(item, access.getDescription()));
                            }
                        }
                    }
                })
                .check(CLASSES);
    }

    @Test
    void noOneOpensFilesForTheDataPathBehindTheLoopsBack() {
        noClasses()
                .that()
                .resideInAnyPackage("xenback.block.backend..", "xenback.block.frontend..", "xenback.xen.ring..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("java.nio.channels..", "java.net..")
                .orShould()
                .dependOnClassesThat()
                .belongToAnyOf(Files.class, RandomAccessFile.class, FileInputStream.class, FileOutputStream.class)
                .check(CLASSES);
    }

    @Test
    void classesThatAreNotMadeForInheritanceAreFinal() {
        classes()
                .that()
                .areNotInterfaces()
                .and()
                .areNotEnums()
                .and()
                .areNotAnonymousClasses()
                .and()
                .doNotHaveModifier(JavaModifier.ABSTRACT)
                .and()
                .areNotAssignableTo(Exception.class)
                .and()
                .doNotHaveSimpleName("SharedMemory") // a test counts its reads in a subclass (XSA-155)
                .should()
                .haveModifier(JavaModifier.FINAL)
                .check(CLASSES);
    }
}
