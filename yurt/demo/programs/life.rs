const SIDE: usize = 6;

fn neighbours(world: &[[bool; SIDE]; SIDE], row: usize, column: usize) -> usize {
    let around = |at: usize| [(at + SIDE - 1) % SIDE, at, (at + 1) % SIDE];
    let alive = around(row)
        .into_iter()
        .flat_map(|r| around(column).map(move |c| (r, c)))
        .filter(|&(r, c)| (r, c) != (row, column) && world[r][c]);
    alive.count()
}

fn main() {
    let mut world = [[false; SIDE]; SIDE];
    for (row, column) in [(0, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
        world[row][column] = true; // a glider
    }
    for _ in 0..4 * SIDE {
        let before = world;
        for row in 0..SIDE {
            for column in 0..SIDE {
                world[row][column] = matches!((before[row][column], neighbours(&before, row, column)), (true, 2) | (_, 3));
            }
        }
    }
    for row in world {
        println!("{}", row.map(|alive| if alive { "# " } else { ". " }).concat());
    }
    println!("after {} generations the glider is back", 4 * SIDE);
}
