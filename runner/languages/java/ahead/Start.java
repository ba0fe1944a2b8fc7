package jvm.ahead;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import jdk.internal.access.SharedSecrets;
import jdk.internal.misc.Unsafe;
import jdk.internal.vm.annotation.Hidden;
import sun.launcher.LauncherHelper;

/**
 * The main class of a virtual machine that is started ahead of its job: it becomes the job's main class.
 *
 * <p>Theory of operation. The virtual machine has booted, and the launcher has called {@link #main}. We go once through
 * what every program goes through (see {@link Rehearsal}), then read descriptor 3 to its end: the name of the main
 * class and the arguments, each ended by a zero byte. The launcher's own helper loads and checks that class, with its
 * own messages when something is wrong. Then the class's main method is called, through a tiny class made for it, so
 * that the call is an ordinary one, made from its own package.
 *
 * <p>Rules:
 * <ol>
 *   <li>No frame of ours is in any stack trace: {@link #main} is annotated as hidden, which the virtual machine honours
 *       for classes of the boot loader, and the tiny class is a hidden class.
 *   <li>Nothing here initialises the program's class, or touches its streams.
 *   <li>The properties that tell the main class are set as the launcher sets them.
 * </ol>
 */
public final class Start {

    private static final int LAUNCHED_BY_CLASS = 1; // LauncherHelper.LM_CLASS
    private static final int HIDDEN_STRONG = 2 | 4; // MethodHandleNatives.Constants: HIDDEN_CLASS, STRONG_LOADER_LINK

    private Start() {}

    /** What the tiny class implements. */
    public interface Program {
        void main(String[] args) throws Throwable;
    }

    @Hidden
    public static void main(String[] none) throws Throwable {
        Rehearsal.play();
        String[] words = Go.read();
        String[] args = new String[words.length - 1];
        System.arraycopy(words, 1, args, 0, args.length);
        System.setProperty("sun.java.command", String.join(" ", words));
        Program program = programOf(words[0]);
        try {
            program.main(args);
        } catch (OutOfMemoryError error) {
            throw withoutUs(error);
        }
    }

    /** These errors are made ahead by the virtual machine, and their stack trace shows what is hidden, too. */
    private static OutOfMemoryError withoutUs(OutOfMemoryError error) {
        try {
            StackTraceElement[] all = error.getStackTrace();
            int own = 0;
            while (own < all.length && !all[all.length - 1 - own].getClassName().equals(Start.class.getName())) {
                own++;
            }
            if (own < all.length) {
                error.setStackTrace(Arrays.copyOf(all, all.length - own - 2));
            }
        } catch (OutOfMemoryError again) {
            return error;
        }
        return error;
    }

    static Program programOf(String name) throws Throwable {
        Class<?> main = LauncherHelper.checkAndLoadMain(true, LAUNCHED_BY_CLASS, name);
        Method method = mainMethod(main);
        byte[] bytes = new Caller(main, method).toBytes();
        Class<?> caller = SharedSecrets.getJavaLangAccess().defineClass(
            main.getClassLoader(), main, Caller.nameBeside(main), bytes, null, false, HIDDEN_STRONG, null);
        return (Program) Unsafe.getUnsafe().allocateInstance(caller);
    }

    /** The method that the launcher has found good: since Java 25 it need not be static, public or take arguments. */
    private static Method mainMethod(Class<?> main) throws Exception {
        Class<?> finder;
        try {
            finder = Class.forName("jdk.internal.misc.MethodFinder");
        } catch (ClassNotFoundException old) {
            return main.getMethod("main", String[].class);
        }
        return (Method) finder.getMethod("findMainMethod", Class.class).invoke(null, main);
    }

    /** A class file: {@code main(args)} calls the main method that was found, in the one of four ways that fits it. */
    private static final class Caller {

        private static final int PUBLIC_FINAL_SUPER = 0x31;
        private static final int CLASS_FILE = 52; // Java 8: no stack maps are needed for code without a jump

        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(512);
        private final DataOutputStream out = new DataOutputStream(bytes);
        private final Class<?> main;
        private final boolean isStatic;
        private final boolean takesArgs;

        Caller(Class<?> main, Method method) {
            this.main = main;
            this.isStatic = Modifier.isStatic(method.getModifiers());
            this.takesArgs = method.getParameterCount() == 1;
        }

        static String nameBeside(Class<?> main) {
            String place = main.getPackageName();
            return (place.isEmpty() ? "" : place.replace('.', '/') + "/") + "Caller";
        }

        byte[] toBytes() throws IOException {
            out.writeInt(0xCAFEBABE);
            out.writeInt(CLASS_FILE);
            constants();
            out.writeShort(PUBLIC_FINAL_SUPER);
            out.writeShort(2);
            out.writeShort(4);
            out.writeShort(1);
            out.writeShort(6);
            out.writeShort(0);
            out.writeShort(1);
            out.writeShort(Modifier.PUBLIC);
            out.writeShort(7);
            out.writeShort(8);
            out.writeShort(1);
            code(isStatic ? staticCall() : instanceCall());
            out.writeShort(0);
            return bytes.toByteArray();
        }

        private void constants() throws IOException {
            out.writeShort(19);
            text(nameBeside(main)); // 1
            reference(7, 1); // 2: this class
            text("java/lang/Object"); // 3
            reference(7, 3); // 4: the super class
            text("jvm/ahead/Start$Program"); // 5
            reference(7, 5); // 6: the interface
            text("main"); // 7
            text("([Ljava/lang/String;)V"); // 8
            text("Code"); // 9
            text(main.getName().replace('.', '/')); // 10
            reference(7, 10); // 11: the main class
            text(takesArgs ? "([Ljava/lang/String;)V" : "()V"); // 12
            pair(12, 7, 12); // 13
            pair(main.isInterface() ? 11 : 10, 11, 13); // 14: the main method
            text("<init>"); // 15
            text("()V"); // 16
            pair(12, 15, 16); // 17
            pair(10, 11, 17); // 18: the main class's constructor
        }

        private int[] staticCall() {
            return takesArgs ? new int[] {0x2B, 0xB8, 0, 14, 0xB1} : new int[] {0xB8, 0, 14, 0xB1};
        }

        private int[] instanceCall() { // new, dup, invokespecial; aload_1; invokevirtual; return
            return takesArgs
                ? new int[] {0xBB, 0, 11, 0x59, 0xB7, 0, 18, 0x2B, 0xB6, 0, 14, 0xB1}
                : new int[] {0xBB, 0, 11, 0x59, 0xB7, 0, 18, 0xB6, 0, 14, 0xB1};
        }

        private void code(int[] code) throws IOException {
            out.writeShort(9);
            out.writeInt(12 + code.length);
            out.writeShort(3);
            out.writeShort(2);
            out.writeInt(code.length);
            for (int each : code) {
                out.writeByte(each);
            }
            out.writeInt(0);
        }

        private void text(String value) throws IOException {
            out.writeByte(1);
            out.writeUTF(value);
        }

        private void reference(int tag, int to) throws IOException {
            out.writeByte(tag);
            out.writeShort(to);
        }

        private void pair(int tag, int first, int second) throws IOException {
            out.writeByte(tag);
            out.writeShort(first);
            out.writeShort(second);
        }
    }
}
