import java.io.File;
import java.io.FileOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;

public class Actions {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "report" -> report();
            case "eat", "ask" -> eat(args[0].equals("ask") ? 1 << 28 : 1 << 20);
            case "deep" -> System.out.println(down(50_000));
            case "fall" -> System.out.println(endless(0));
            case "flood" -> { while (true) System.out.println("tick"); }
            case "fill" -> fill();
            case "crowd" -> crowd();
            case "spin" -> { System.out.println("before"); while (true); }
            case "doze" -> { System.out.println("before"); Thread.sleep(60_000); }
            case "linger" -> Thread.sleep(60_000);
            case "leave" -> {
                String java = ProcessHandle.current().info().command().orElseThrow();
                String[] linger = {java, "-cp", "/box", "Actions", "linger"};
                new ProcessBuilder(linger).inheritIO().start();
                System.out.println("gone");
            }
        }
    }

    static void report() throws Exception {
        System.out.print(Files.readString(Path.of("/proc/self/status")));
        System.getenv().forEach((name, value) -> System.out.println("env " + name + "=" + value));
        for (File file : new File("/proc/self/fd").listFiles()) {
            try {
                System.out.println("fd " + file.getName() + " " + Files.readSymbolicLink(file.toPath()));
            } catch (java.io.IOException gone) { }
        }
        System.out.println("cpus " + Runtime.getRuntime().availableProcessors());
        System.out.println("cwd " + new File("").getAbsolutePath());
        System.out.println("stdin " + System.in.readAllBytes().length);
        Path made = Files.createDirectory(Path.of("made"));
        int mode = 0;
        String text = PosixFilePermissions.toString(Files.getPosixFilePermissions(made));
        for (char c : text.toCharArray()) mode = mode << 1 | (c == '-' ? 0 : 1);
        System.out.println("made " + Integer.toOctalString(mode));
    }

    static void eat(int piece) {
        System.out.println("before");
        List<byte[]> held = new ArrayList<>();
        while (true) held.add(new byte[piece]);
    }

    static int down(int left) { return left == 0 ? 0 : 1 + down(left - 1); }

    static int endless(int left) { return 1 + endless(left + 1); }

    static void fill() throws Exception {
        System.out.println("before");
        try (FileOutputStream file = new FileOutputStream("big")) {
            for (int i = 0; i < 8; i++) file.write(new byte[1 << 20]);
        }
    }

    static void crowd() {
        System.out.println("before");
        for (int i = 0; i < 60; i++) {
            Thread thread = new Thread(() -> { try { Thread.sleep(20_000); } catch (InterruptedException e) { } });
            thread.setDaemon(true);
            thread.start();
        }
        System.out.println("all there");
    }
}
