const SIDE: usize = 6;

fn neighbours(world: &[[bool; SIDE]; SIDE], row: usize, column: usize) -> usize {
    let mut alive = 0;
    for down in [SIDE - 1, 0, 1] {
        for right in [SIDE - 1, 0, 1] {
            let here = (down, right) == (0, 0);
            if !here && world[(row + down) % SIDE][(column + right) % SIDE] {
                alive += 1;
            }
        }
    }
    alive
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
