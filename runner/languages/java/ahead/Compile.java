package jvm.ahead;

import com.sun.tools.javac.api.JavacTaskPool;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.StandardLocation;
import javax.tools.ToolProvider;

/**
 * A Java compiler that waits: it has compiled a small program by then, so that it is loaded and knows the library.
 *
 * <p>Theory of operation. The message on descriptor 3 is words, each ended by a zero byte: the number of candidates for
 * the main class, the candidates, the number of flags, the flags, and the files. Output and exit code are javac's. The
 * classes go to {@link #CLASSES}, and the name of the main class to {@link #MAIN}: the first candidate that has a main
 * method, else the first class of all that has one, else the first candidate, so that the launcher says what is wrong.
 *
 * <p>Most programs are correct, and come without flags. For them the symbol tables of the rehearsal are used again,
 * which saves reading the library's classes once more. Where that way meets anything to say but a note, what it did is
 * forgotten, and javac itself is run: its messages are the right ones.
 *
 * <p>Started with words as arguments, it does not wait; with none and the property {@code train}, it goes through all
 * it can do, for an archive of its classes to be made.
 */
public final class Compile {

    private static final Path CLASSES = Path.of("/tmp/classes");
    private static final Path MAIN = Path.of("/tmp/main");
    private static final List<String> USUAL = List.of("-proc:none");

    private static final JavaCompiler JAVAC = ToolProvider.getSystemJavaCompiler();

    private final JavacTaskPool pool = new JavacTaskPool(1);
    private final StandardJavaFileManager files =
        JAVAC.getStandardFileManager(new DiagnosticCollector<>(), null, StandardCharsets.UTF_8);

    private Compile() {}

    public static void main(String[] args) throws Exception {
        Compile compiler = new Compile();
        if (System.getProperty("train") != null) {
            compiler.train();
            return;
        }
        List<String> words = List.of(args);
        if (words.isEmpty()) {
            if (!Go.isThere()) {
                compiler.rehearse();
            }
            words = List.of(Go.read());
        }
        int exit = compiler.carryOut(words);
        System.err.flush();
        Runtime.getRuntime().halt(exit);
    }

    private int carryOut(List<String> words) throws IOException {
        int candidates = 1 + Integer.parseInt(words.get(0));
        int flags = candidates + 1 + Integer.parseInt(words.get(candidates));
        int exit = compile(CLASSES, words.subList(candidates + 1, flags), words.subList(flags, words.size()));
        if (exit == 0) {
            Files.writeString(MAIN, mainClass(CLASSES, words.subList(1, candidates)));
        }
        return exit;
    }

    private int compile(Path into, List<String> flags, List<String> names) throws IOException {
        Files.createDirectories(into);
        if (flags.equals(USUAL) && compileQuickly(into, names)) {
            return 0;
        }
        List<String> args = new ArrayList<>(List.of("-d", into.toString(), "-cp", ".", "-encoding", "UTF-8"));
        args.addAll(flags);
        args.addAll(names);
        return JAVAC.run(null, System.out, System.err, args.toArray(new String[0]));
    }

    /** Whether it is done; if not, javac has to be asked. */
    private boolean compileQuickly(Path into, List<String> names) throws IOException {
        DiagnosticCollector<JavaFileObject> said = new DiagnosticCollector<>();
        files.setLocation(StandardLocation.CLASS_PATH, List.of(new File(".")));
        files.setLocation(StandardLocation.CLASS_OUTPUT, List.of(into.toFile()));
        boolean good;
        try {
            good = pool.getTask(null, files, said, USUAL, null, files.getJavaFileObjectsFromStrings(names), task -> task.call());
        } catch (RuntimeException | Error broken) {
            good = false;
        }
        if (!good || said.getDiagnostics().stream().anyMatch(each -> each.getKind() != Diagnostic.Kind.NOTE)) {
            empty(into);
            return false;
        }
        said.getDiagnostics().forEach(System.err::println);
        return true;
    }

    private void rehearse() throws IOException {
        Path folder = Files.createTempDirectory("rehearsal");
        Path source = folder.resolve("Rehearsed.java");
        try (InputStream text = Compile.class.getResourceAsStream("Rehearsed.java.txt")) {
            Files.write(source, text.readAllBytes());
        }
        compile(folder, USUAL, List.of(source.toString()));
        mainClass(folder, List.of("Rehearsed"));
        empty(folder);
        Files.delete(folder);
    }

    private void train() throws IOException {
        rehearse();
        Path source = Files.writeString(Path.of("/tmp/Wrong.java"), "class Wrong { int f() { return wrong(); } Strin g; }\n");
        carryOut(List.of("1", "Wrong", "1", "-proc:none", source.toString()));
        rehearse();
    }

    private static void empty(Path folder) throws IOException {
        try (Stream<Path> inside = Files.walk(folder)) {
            List<Path> paths = inside.sorted(Comparator.reverseOrder()).toList();
            for (Path path : paths.subList(0, paths.size() - 1)) {
                Files.delete(path);
            }
        }
    }

    private static String mainClass(Path folder, List<String> candidates) throws IOException {
        try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()}, null)) {
            for (String name : candidates) {
                if (hasMain(loader, name)) {
                    return name;
                }
            }
            try (Stream<Path> inside = Files.walk(folder)) {
                return inside.map(file -> className(folder, file))
                    .filter(name -> !name.isEmpty() && hasMain(loader, name))
                    .sorted()
                    .findFirst()
                    .orElse(candidates.get(0));
            }
        }
    }

    private static String className(Path folder, Path file) {
        String path = folder.relativize(file).toString();
        return path.endsWith(".class") ? path.substring(0, path.length() - 6).replace('/', '.') : "";
    }

    private static boolean hasMain(ClassLoader loader, String name) {
        try {
            Class<?> type = Class.forName(name, false, loader);
            if (Runtime.version().feature() >= 25) { // since then main need not be static, public or take arguments
                Class<?> finder = Class.forName("jdk.internal.misc.MethodFinder");
                return finder.getMethod("findMainMethod", Class.class).invoke(null, type) != null;
            }
            Method main = type.getMethod("main", String[].class);
            return Modifier.isStatic(main.getModifiers()) && main.getReturnType() == void.class;
        } catch (ReflectiveOperationException | LinkageError none) {
            return false;
        }
    }
}
