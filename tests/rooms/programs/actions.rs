use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn report() {
    print!("{}", std::fs::read_to_string("/proc/self/status").unwrap());
    for (name, value) in std::env::vars() {
        println!("env {name}={value}");
    }
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if let Ok(to) = std::fs::read_link(entry.path()) {
            println!("fd {} {}", entry.file_name().to_string_lossy(), to.display());
        }
    }
    println!("cpus {}", std::thread::available_parallelism().unwrap());
    println!("cwd {}", std::env::current_dir().unwrap().display());
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).unwrap();
    println!("stdin {}", input.len());
    std::fs::create_dir("made").unwrap();
    println!("made {:o}", std::fs::metadata("made").unwrap().permissions().mode() & 0o777);
}

fn down(left: u64) -> u64 {
    let here = std::hint::black_box([left; 8]);
    if left == 0 { 0 } else { 1 + down(left - 1) + std::hint::black_box(here)[3] - left }
}

#[allow(unconditional_recursion)]
fn endless(left: u64) -> u64 {
    let here = std::hint::black_box([left; 8]);
    1 + endless(left + 1) + std::hint::black_box(here)[0]
}

fn main() {
    match std::env::args().nth(1).unwrap().as_str() {
        "report" => report(),
        "eat" => {
            println!("before");
            let mut held = Vec::new();
            loop {
                held.push(std::hint::black_box(vec![1u8; 1 << 20]));
            }
        }
        "ask" => {
            println!("before");
            let held: Vec<u8> = std::hint::black_box(Vec::with_capacity(1 << 50));
            println!("{}", held.capacity());
        }
        "deep" => println!("{}", down(50_000)),
        "fall" => println!("{}", endless(0)),
        "flood" => loop {
            println!("tick");
        },
        "fill" => {
            println!("before");
            let mut file = std::fs::File::create("big").unwrap();
            for _ in 0..8 {
                file.write_all(&vec![0; 1 << 20]).unwrap();
            }
        }
        "crowd" => {
            println!("before");
            for _ in 0..60 {
                std::thread::spawn(|| std::thread::sleep(Duration::from_secs(20)));
            }
            println!("all there");
        }
        "spin" => {
            println!("before");
            let mut i = 0u64;
            loop {
                i = std::hint::black_box(i + 1);
            }
        }
        "doze" => {
            println!("before");
            std::thread::sleep(Duration::from_secs(60));
        }
        "linger" => std::thread::sleep(std::time::Duration::from_secs(60)),
        "leave" => {
            std::process::Command::new("/proc/self/exe").arg("linger").spawn().unwrap();
            println!("gone");
        }
        other => panic!("{other}"),
    }
}
