public class Queens {
    private static int place(int size, int row, int columns, int falling, int rising) {
        if (row == size) {
            return 1;
        }
        int ways = 0;
        int free = ~(columns | falling | rising) & ((1 << size) - 1);
        while (free != 0) {
            int queen = free & -free;
            free -= queen;
            ways += place(size, row + 1, columns | queen, (falling | queen) << 1, (rising | queen) >> 1);
        }
        return ways;
    }

    public static void main(String[] args) {
        for (int size = 4; size <= 10; size += 2) {
            System.out.printf("%d queens stand in peace in %d ways%n", size, place(size, 0, 0, 0, 0));
        }
    }
}
