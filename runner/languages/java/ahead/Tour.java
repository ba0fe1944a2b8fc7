package jvm.ahead;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.Scanner;
import java.util.StringJoiner;
import java.util.StringTokenizer;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Uses what programs commonly use of the library. Run once for each installation, when its archive of loaded classes is
 * made; never in a sandbox.
 */
public final class Tour {

    private Tour() {}

    record Point(int x, String name) {}

    enum Colour { RED, GREEN }

    sealed interface Shape permits Circle, Square {}

    record Circle(double radius) implements Shape {}

    record Square(double side) implements Shape {}

    public static void main(String[] args) throws Exception {
        input();
        text();
        collections();
        streams();
        threads();
        numbers();
        failures();
    }

    private static void input() throws IOException {
        Scanner scanner = new Scanner("3 4.5 word true\nline\n123456789012\n");
        StringBuilder seen = new StringBuilder();
        seen.append(scanner.nextInt()).append(scanner.nextDouble()).append(scanner.next()).append(scanner.nextBoolean());
        seen.append(scanner.nextLine()).append(scanner.nextLine()).append(scanner.hasNextInt()).append(scanner.nextLong());
        BufferedReader reader = new BufferedReader(new InputStreamReader(System.in));
        for (String line = reader.readLine(); line != null; line = reader.readLine()) {
            StringTokenizer words = new StringTokenizer(line);
            while (words.hasMoreTokens()) {
                seen.append(Integer.parseInt(words.nextToken()));
            }
        }
        System.out.println(seen);
    }

    private static void text() {
        int number = args(3);
        String text = "n=" + number + ", " + 1.5 + 'c' + true + " " + 12L + null;
        System.out.println(text + Arrays.toString(text.split(",")) + text.replaceAll("[0-9]+", "#").toUpperCase());
        System.out.printf("%d %5.2f %s %x %08d %,d %-5s|%n", number, 2.5, text, 255, 42, 1234567, "left");
        System.out.print(String.format("%s %c %b", text, 'x', true) + String.join("-", List.of("a", "b")));
        System.err.println(new StringJoiner(", ", "[", "]").add("one").add(text.repeat(2)).toString().strip());
        System.out.println(new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8).chars().sum());
        System.out.println("Größe 日本 😀".codePoints().count() + String.valueOf(text.matches(".*n.*")));
    }

    private static void collections() {
        Map<String, List<Integer>> groups = new HashMap<>();
        for (int i = 0; i < 100; i++) {
            groups.computeIfAbsent("key" + i % 7, key -> new ArrayList<>()).add(i);
        }
        Map<String, Integer> counts = new TreeMap<>(Comparator.reverseOrder());
        groups.forEach((key, values) -> counts.merge(key, values.size(), Integer::sum));
        PriorityQueue<int[]> queue = new PriorityQueue<>((a, b) -> a[0] - b[0]);
        queue.add(new int[] {2, 1});
        queue.add(new int[] {1, 2});
        ArrayDeque<Integer> deque = new ArrayDeque<>(List.of(1, 2, 3));
        LinkedList<Integer> linked = new LinkedList<>(deque);
        Collections.sort(linked, Comparator.comparing(Integer::intValue));
        Integer[] boxed = {3, 1, 2};
        Arrays.sort(boxed, Collections.reverseOrder());
        int[] plain = {3, 1, 2};
        Arrays.sort(plain);
        System.out.println(counts + " " + queue.poll()[0] + deque.pop() + linked + Arrays.asList(boxed) + Arrays.stream(plain).sum());
        System.out.println(new HashSet<>(counts.keySet()).size() + "" + new TreeSet<>(counts.values()) + new LinkedHashMap<>(counts));
        System.out.println(Map.of("a", 1).entrySet().iterator().next() + " " + Optional.of(new Point(1, "p")).map(Point::name));
        for (Colour colour : Colour.values()) {
            switch (colour) {
                case RED -> System.out.println(colour);
                default -> System.out.println(colour.ordinal());
            }
        }
        Object shape = new Circle(2);
        if (shape instanceof Circle circle && circle.radius() > 1) {
            System.out.println(circle + " " + circle.equals(new Circle(2)) + circle.hashCode());
        }
    }

    private static void streams() {
        List<Point> points = IntStream.range(0, 10).mapToObj(i -> new Point(i, "p" + i)).collect(Collectors.toList());
        System.out.println(points.stream().filter(p -> p.x() > 3).map(Point::name).collect(Collectors.joining(", ")));
        System.out.println(points.stream().collect(Collectors.groupingBy(p -> p.x() % 3, Collectors.counting())));
        System.out.println(points.stream().mapToInt(Point::x).summaryStatistics().getMax());
        System.out.println(Stream.of("b", "a").sorted().toList() + "" + Stream.iterate(1, x -> x * 2).limit(5).reduce(0, Integer::sum));
        System.out.println(points.stream().sorted(Comparator.comparing(Point::name).reversed()).findFirst().get());
        System.out.println(IntStream.rangeClosed(1, 5).boxed().collect(Collectors.toMap(Function.identity(), x -> x * x)));
        System.out.println(IntStream.range(0, 100).parallel().sum() + " " + points.stream().anyMatch(p -> p.x() == 2));
    }

    private static void threads() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(2);
        Future<Integer> future = pool.submit(() -> 42);
        CountDownLatch latch = new CountDownLatch(1);
        Thread thread = new Thread(latch::countDown);
        thread.start();
        thread.join();
        latch.await(1, TimeUnit.SECONDS);
        ConcurrentHashMap<String, AtomicInteger> map = new ConcurrentHashMap<>();
        map.computeIfAbsent("x", key -> new AtomicInteger()).incrementAndGet();
        System.out.println(future.get() + map.get("x").get());
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.SECONDS);
    }

    private static void numbers() {
        BigInteger big = BigInteger.TWO.pow(100).mod(BigInteger.valueOf(97));
        System.out.println(big + " " + new BigDecimal("1.10").add(BigDecimal.ONE) + " " + Math.sqrt(2) + new Random(1).nextInt(10));
        System.out.println(Integer.toBinaryString(5) + Long.parseLong("12") + Double.parseDouble("1.5") + Integer.MAX_VALUE);
        System.out.println(LocalDate.of(2024, 2, 29).plusYears(1) + " " + System.nanoTime() % 1 + System.currentTimeMillis() % 1);
    }

    private static void failures() {
        try {
            System.out.println(List.of(1).get(args(3)));
        } catch (RuntimeException wrong) {
            wrong.printStackTrace();
        }
        try {
            Object text = "text";
            System.out.println((Integer) text);
        } catch (ClassCastException wrong) {
            System.err.println(wrong.getMessage());
        }
    }

    private static int args(int number) {
        return number;
    }
}
