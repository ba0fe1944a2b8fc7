# ruff: noqa: E501  # a program is easier to read as it is than broken over lines
"""The programs of ``test_complaints``: one table a complaint, one program a language."""

from __future__ import annotations

GO = "package main\n"
JAVA = "public class Main { public static void main(String[] args) throws Exception { "

ALPHABETS = {
    "python": "имя = input()\nprint('здравствуй', имя)\n",
    "javascript": "const имя = require('fs').readFileSync(0, 'utf8').trim();\nconsole.log('здравствуй', имя);\n",
    "java": JAVA
    + 'String имя = new java.util.Scanner(System.in).nextLine(); System.out.println("здравствуй " + имя); } }',
    "go": GO
    + 'import ("bufio"; "fmt"; "os")\nfunc main() { имя := bufio.NewScanner(os.Stdin); имя.Scan(); fmt.Println("здравствуй", имя.Text()) }',
    "cpp": '#include <iostream>\n#include <string>\nint main() { std::string имя; std::getline(std::cin, имя); std::cout << "здравствуй " << имя << "\\n"; }',
    "rust": 'fn main() { let mut имя = String::new(); std::io::stdin().read_line(&mut имя).unwrap(); println!("здравствуй {}", имя.trim()); }',
}
NO_TEXT = {
    "python": "import sys\nsys.stdout.buffer.write(b'a \\xe3(\\xff\\0 z\\n')",
    "javascript": "process.stdout.write(Buffer.from([97, 32, 0xe3, 40, 255, 0, 32, 122, 10]))",
    "java": JAVA
    + "System.out.write(new byte[]{97, 32, (byte) 0xe3, 40, (byte) 255, 0, 32, 122, 10}); System.out.flush(); } }",
    "go": GO + 'import "os"\nfunc main() { os.Stdout.Write([]byte("a \\xe3(\\xff\\x00 z\\n")) }',
    "cpp": '#include <cstdio>\nint main() { fwrite("a \\xe3(\\xff\\0 z\\n", 1, 9, stdout); }',
    "rust": 'use std::io::Write;\nfn main() { std::io::stdout().write_all(b"a \\xe3(\\xff\\0 z\\n").unwrap(); }',
}
PIECES = {
    "python": "import os, time\nfor b in 'ś❄雪🧊\\n'.encode():\n    os.write(1, bytes([b])); time.sleep(.01)",
    "javascript": "const b = Buffer.from('ś❄雪🧊\\n'); let i = 0;\nconst t = setInterval(() => { i < b.length ? process.stdout.write(b.subarray(i, ++i)) : clearInterval(t) }, 10)",
}
NO_NEWLINE = {
    "python": "import sys\nprint('sum: 7', end='')\nprint('mind the gap', end='', file=sys.stderr)",
    "javascript": "process.stdout.write('sum: 7'); process.stderr.write('mind the gap')",
    "java": JAVA + 'System.out.print("sum: 7"); System.err.print("mind the gap"); } }',
    "go": GO + 'import ("fmt"; "os")\nfunc main() { fmt.Print("sum: 7"); fmt.Fprint(os.Stderr, "mind the gap") }',
    "cpp": '#include <iostream>\nint main() { std::cout << "sum: 7"; std::cerr << "mind the gap"; }',
    "rust": 'fn main() { print!("sum: 7"); eprint!("mind the gap"); }',
}
PRINT_AND_EXIT = {
    "python": "import sys\nprint('\\n'.join(f'line {n}' for n in range(40000)))\nsys.exit(0)",
    "javascript": "console.log(Array.from({ length: 40000 }, (_, n) => 'line ' + n).join('\\n')); process.exit(0)",
    "java": JAVA
    + 'var b = new StringBuilder(); for (int n = 0; n < 40000; n++) b.append("line " + n + "\\n"); System.out.print(b); System.exit(0); } }',
    "go": GO
    + 'import ("fmt"; "os")\nfunc main() { for n := 0; n < 40000; n++ { fmt.Printf("line %d\\n", n) }; os.Exit(0) }',
    "cpp": '#include <iostream>\n#include <cstdlib>\nint main() { for (int n = 0; n < 40000; n++) std::cout << "line " << n << "\\n"; std::exit(0); }',
}
WINDOWS = {
    "python": "\ufefftext = '''a\r\nb\r\nc'''\r\nif text:\r\n\tprint(len(text.split('\\n')), 'lines')\r\n",
    "javascript": "\ufeffconst t = `a\r\nb\r\nc`;\r\nconsole.log(t.split('\\n').length, 'lines');\r\n",
    "go": '\ufeffpackage main\r\nimport "strings"\r\nimport "fmt"\r\nfunc main() {\r\n\tfmt.Println(len(strings.Split(`a\r\nb\r\nc`, "\\n")), "lines")\r\n}\r\n',
    "cpp": '\ufeff#include <cstdio>\r\nint main() {\r\n\tputs("3 \\\r\nlines");\r\n}\r\n',
    "rust": '\ufefffn main() {\r\n    println!("{} lines", "a\r\nb\r\nc".lines().count());\r\n}\r\n',
}
NO_INPUT = {
    "java": "import java.util.Scanner;\npublic class Ask { public static void main(String[] args) {\n  System.out.print(new Scanner(System.in).nextInt()); } }",
    "python": "\n\ninput()",
}
SUM_OF_LINES = {
    "python": "import sys\nprint(sum(map(int, sys.stdin)))",
    "javascript": "let s = 0;\nrequire('readline').createInterface({ input: process.stdin }).on('line', (l) => (s += +l)).on('close', () => console.log(s))",
    "java": JAVA
    + "int s = 0; var in = new java.util.Scanner(System.in); while (in.hasNextLine()) s += Integer.parseInt(in.nextLine()); System.out.println(s); } }",
    "go": GO
    + 'import ("bufio"; "fmt"; "os"; "strconv")\nfunc main() { s := 0; in := bufio.NewScanner(os.Stdin); for in.Scan() { n, _ := strconv.Atoi(in.Text()); s += n }; fmt.Println(s) }',
    "cpp": "#include <iostream>\n#include <string>\nint main() { std::string l; int s = 0; while (std::getline(std::cin, l)) s += std::stoi(l); std::cout << s << std::endl; }",
    "rust": 'fn main() { println!("{}", std::io::stdin().lines().map(|l| l.unwrap().parse::<i32>().unwrap()).sum::<i32>()); }',
}
DEAF = {
    "python": "print('deaf')",
    "javascript": "console.log('deaf')",
    "java": JAVA + 'System.out.println("deaf"); } }',
    "go": GO + 'import "fmt"\nfunc main() { fmt.Println("deaf") }',
    "cpp": '#include <cstdio>\nint main() { puts("deaf"); }',
    "rust": 'fn main() { println!("deaf"); }',
}
BYTES_OF_INPUT = {
    "python": "import sys\nprint(sys.stdin.buffer.read().hex())",
    "javascript": "console.log(require('fs').readFileSync(0).toString('hex'))",
    "java": JAVA + "System.out.println(java.util.HexFormat.of().formatHex(System.in.readAllBytes())); } }",
    "go": GO + 'import ("fmt"; "io"; "os")\nfunc main() { b, _ := io.ReadAll(os.Stdin); fmt.Printf("%x\\n", b) }',
}
EXIT_137 = {
    "python": "print('chosen')\nraise SystemExit(137)",
    "javascript": "console.log('chosen'); process.exitCode = 137",
    "java": JAVA + 'System.out.println("chosen"); System.exit(137); } }',
    "go": GO + 'import ("fmt"; "os")\nfunc main() { fmt.Println("chosen"); os.Exit(137) }',
    "cpp": '#include <cstdio>\nint main() { puts("chosen"); return 137; }',
    "rust": 'fn main() { println!("chosen"); std::process::exit(137) }',
}
ASSERTION = {"cpp": '#include <cassert>\nint main(int n, char**) { assert(n > 99 && "must hold"); }'}
DIVISION = {
    "cpp": '#include <cstdio>\nint main() { volatile int none = 0; puts("so far"); fflush(stdout); return 5 / none; }'
}
DEADLOCK = {"go": GO + 'import "fmt"\nfunc main() { c := make(chan int); fmt.Println("waiting"); fmt.Println(<-c) }'}
QUIT = {"python": "print('so long')\nquit(5)", "javascript": "console.log('so long'); process.exit(5)"}
TICKS = {
    "python": "import signal\nleft = [4]\ndef tick(*_): left[0] -= 1\nsignal.signal(signal.SIGALRM, tick)\nsignal.setitimer(signal.ITIMER_REAL, .01, .01)\nwhile left[0] > 0: signal.pause()\nprint('4 ticks')",
}
SLEEPER = {
    "python": "import time\nprint('zzz', flush=True)\ntime.sleep(50)",
    "cpp": '#include <cstdio>\n#include <unistd.h>\nint main() { puts("zzz"); fflush(stdout); sleep(50); }',
    "javascript": "console.log('zzz'); setTimeout(() => {}, 50000)",
}
BUSY = {
    "javascript": "for (;;) {}",
    "python": "while True: pass",
    "java": JAVA + "for (int i = 0;; i++) if (i < -1 && i > 0) break; } }",
}
WAITER = {"python": "import time\ntime.sleep(.3)\nprint('rested')"}
HOARDER = {
    "python": "held = []\nwhile True: held.append('x' * 500000)",
    "javascript": "const held = []; for (let i = 0; ; i++) held.push(new Array(1000).fill(i))",
    "java": JAVA + "var held = new java.util.ArrayList<int[]>(); while (true) held.add(new int[100000]); } }",
    "cpp": "#include <list>\n#include <string>\nint main() { std::list<std::string> held; while (true) held.emplace_back(100000, 'x'); }",
}
HELLO = {"java": JAVA + 'System.out.println("hello"); } }', "javascript": "console.log('hello')"}
PRINTER = {
    "go": GO + 'import "fmt"\nfunc main() { for { fmt.Println("tock") } }',
    "python": "while True: print('tock')",
    "java": JAVA + 'while (true) System.out.println("tock"); } }',
}
DEEP = {
    "cpp": '#include <cstdio>\nint down(int n) { volatile char room[64]; room[n % 64] = 1; return n ? room[n % 64] + down(n - 1) : 0; }\nint main() { printf("%d\\n", down(150000)); }',
    "go": GO
    + 'import "fmt"\nfunc down(n int) int { if n == 0 { return 0 }; return 1 + down(n-1) }\nfunc main() { fmt.Println(down(150000)) }',
    "rust": 'fn down(n: u32) -> u32 { let room = std::hint::black_box([n; 8]); if n == 0 { 0 } else { room[1] - n + 1 + down(n - 1) } }\nfn main() { println!("{}", down(150000)) }',
}
SHORT = {
    "cpp": '#include <cstdio>\n#include <cstdlib>\nint main() { volatile char* p = (volatile char*)malloc(64 << 20); for (int i = 0; i < 64 << 20; i += 4096) p[i] = 1; puts("done"); free((void*)p); }',
}
FORTY = {
    "java": JAVA
    + "var sum = new java.util.concurrent.atomic.AtomicInteger(); var all = new java.util.ArrayList<Thread>(); for (int i = 0; i < 40; i++) { int n = i; var t = new Thread(() -> sum.addAndGet(n)); t.start(); all.add(t); } for (var t : all) t.join(); System.out.println(sum); } }",
    "python": "import threading\ns = []\nt = [threading.Thread(target=s.append, args=(n,)) for n in range(40)]\nfor x in t: x.start()\nfor x in t: x.join()\nprint(sum(s))",
}
DEVICES = {
    "go": GO
    + 'import ("fmt"; "os")\nfunc main() { in, _ := os.ReadFile("/dev/stdin"); z := make([]byte, 1); f, _ := os.Open("/dev/zero"); f.Read(z); u, _ := os.Stat("/dev/urandom"); fmt.Printf("%s %x %v\\n", in, z, u.Mode()&os.ModeDevice != 0); o, e := os.OpenFile("/dev/stdout", os.O_WRONLY, 0); if e == nil { fmt.Fprintln(o, "by name") } }',
    "javascript": "const fs = require('fs'); const z = Buffer.alloc(1, 9); fs.readSync(fs.openSync('/dev/zero'), z); console.log(fs.readFileSync('/dev/stdin', 'utf8'), z.toString('hex'), fs.statSync('/dev/urandom').isCharacterDevice()); fs.writeFileSync('/dev/stdout', 'by name\\n')",
}
USER = {
    "python": "import getpass, os\nprint(getpass.getuser(), os.path.expanduser('~'), 'yes' if os.access(os.path.expanduser('~'), os.W_OK) else 'no')",
    "javascript": "const os = require('os'); const u = os.userInfo(); require('fs').accessSync(u.homedir, 2); console.log(u.username, os.homedir(), 'yes')",
    "java": JAVA
    + 'System.out.println(System.getProperty("user.name") + " " + System.getProperty("user.home") + " " + (new java.io.File(System.getProperty("user.home")).canWrite() ? "yes" : "no")); } }',
}
MACHINE = {
    "javascript": "const os = require('os'); console.log(os.totalmem() > 0, os.hostname() === 'yurt', os.availableParallelism())",
    "java": JAVA
    + 'System.out.println((Runtime.getRuntime().maxMemory() > 0) + " " + java.net.InetAddress.getLocalHost().getHostName().equals("yurt") + " " + Runtime.getRuntime().availableProcessors()); } }',
}
ECHO = {
    "rust": 'use std::io::*;\nuse std::net::*;\nfn main() { let s = TcpListener::bind("127.0.0.1:0").unwrap(); let a = s.local_addr().unwrap(); let t = std::thread::spawn(move || s.accept().unwrap().0.write_all(b"ping").unwrap()); let mut x = String::new(); TcpStream::connect(a).unwrap().read_to_string(&mut x).unwrap(); t.join().unwrap(); println!("{x}"); }',
    "javascript": "const s = require('http').createServer((q, r) => r.end('ping')).listen(0, async () => { console.log(await (await fetch('http://localhost:' + s.address().port)).text()); s.closeAllConnections(); s.close(); })",
    "python": "import http.server, threading, urllib.request\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'ping')\n    def log_message(self, *a): pass\ns = http.server.HTTPServer(('', 0), H)\nthreading.Thread(target=s.handle_request).start()\nprint(urllib.request.urlopen(f'http://localhost:{s.server_port}').read().decode())\ns.server_close()",
}
VARIABLES = {
    "rust": 'fn main() { let mut v: Vec<_> = std::env::vars().map(|(k, v)| if k == "MINE" { format!("{k}={v}") } else { k }).collect(); v.sort(); for x in v { println!("{x}") } }',
    "python": "import os\nfor k in sorted(os.environ): print(k + '=' + os.environ[k] if k == 'MINE' else k)",
    "javascript": "for (const k of Object.keys(process.env).sort()) console.log(k === 'MINE' ? k + '=' + process.env[k] : k)",
    "java": JAVA
    + 'for (var k : new java.util.TreeSet<>(System.getenv().keySet())) System.out.println(k.equals("MINE") ? k + "=" + System.getenv(k) : k); } }',
}
ARGUMENTS = {
    "cpp": '#include <cstdio>\nint main(int n, char** a) { while (*++a) printf("[%s]", *a); puts(""); (void)n; }',
    "python": "import sys\nprint(''.join(f'[{a}]' for a in sys.argv[1:]))",
    "javascript": "console.log(process.argv.slice(2).map((a) => `[${a}]`).join(''))",
    "java": JAVA + 'for (var a : args) System.out.print("[" + a + "]"); System.out.println(); } }',
    "go": GO
    + 'import ("fmt"; "os")\nfunc main() { for _, a := range os.Args[1:] { fmt.Print("[", a, "]") }; fmt.Println() }',
    "rust": 'fn main() { for a in std::env::args().skip(1) { print!("[{a}]") } println!() }',
}
OWN_SOURCE = {
    "python": "import inspect, os, pickle\ndef six():\n    return 6\nclass P: pass\nprint(inspect.getsource(six), end='')\nprint(os.path.exists(__file__), isinstance(pickle.loads(pickle.dumps(P())), P))",
}
TRACE = {"python": "# one\n# two\nraise KeyError('k')\n"}
AS_STARTED = {
    "javascript": "console.log(require.main === module, typeof __filename === 'string' && this === module.exports, __dirname, process.argv.length - 1)",
}
DESCRIPTORS = {
    "python": "import os\nprint(*[n for n in sorted(map(int, os.listdir('/proc/self/fd'))) if os.path.exists(f'/proc/self/fd/{n}') and not os.readlink(f'/proc/self/fd/{n}').startswith('/proc')])",
    "cpp": '#include <cstdio>\n#include <fcntl.h>\nint main() { for (int n = 0; n < 1000; n++) if (fcntl(n, F_GETFD) >= 0) printf(n ? " %d" : "%d", n); puts(""); }',
}
SECOND_CLASS = {
    "java": 'class First { int x; }\nclass Second { public static void main(String[] args) { System.out.println("second"); } }'
}
ANY_NAME = {"java": 'public class Übung_7 { public static void main(String[] args) { System.out.println("named"); } }'}
RARE = {
    "go": GO
    + 'import ("encoding/hex"; "encoding/xml"; "fmt"; "math/big"; "text/template"; "os")\ntype b struct { XMLName xml.Name `xml:"b"` }\nfunc main() { x, _ := xml.Marshal(b{}); fmt.Printf("%s %s ", x, new(big.Int).Exp(big.NewInt(2), big.NewInt(10), nil)); template.Must(template.New("").Parse("{{.}}\\n")).Execute(os.Stdout, hex.EncodeToString([]byte("hi"))) }',
}
OWN_PACKAGE = {
    "go": {
        "go.mod": "module example.com/mine\n\ngo 1.20\n",
        "main.go": GO + 'import "example.com/mine/deep/inner"\nfunc main() { inner.Say() }',
        "deep/inner/say.go": 'package inner\nimport "fmt"\nfunc Say() { fmt.Println("inner") }',
    },
}
COMMENT = {"cpp": "// nothing yet\n", "rust": "// nothing yet\n", "go": GO + "// nothing yet\n"}
NOTHING = {"python": "", "javascript": ""}
MODULES = {
    "javascript": {
        "main.mjs": "import { seven } from './lib/seven.mjs';\nimport old from './old.cjs';\nconsole.log(seven, old.gone, typeof require === 'undefined' ? '' : 'require').valueOf;\n".replace(
            ", typeof require === 'undefined' ? '' : 'require').valueOf", ")"
        ),
        "lib/seven.mjs": "export const seven = await Promise.resolve(7);\n",
        "old.cjs": "module.exports = { here: 1 };\n",
    },
}
PARROT = {
    "python": "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())",
    "rust": "fn main() { std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).unwrap(); }",
}
SLOW_FOR_TWO = {"python": "import time\nn = int(input())\nif n == 2: time.sleep(30)\nprint(n)"}
QUOTIENT = {
    "java": JAVA + "System.out.println(Integer.parseInt(args[0]) / Integer.parseInt(args[1])); } }",
    "python": "import sys\nprint(int(sys.argv[1]) // int(sys.argv[2]))",
}
NAMES = {
    "python": {
        "my data (1).csv": "a\nb\n",
        "main.py": "n = len(open('my data (1).csv').readlines())\nprint(n)\nopen(f'été {n}.txt', 'w').write('two rows')",
    },
}
BINARY = {
    "rust": {
        "main.rs": 'fn main() { let b = std::fs::read("data/in.bin").unwrap(); println!("{}", b.len()); std::fs::write("out.bin", b).unwrap(); }',
        "data/in.bin": b"\x00\xff\r\n\x80\xc3",
    },
}
ORPHANS = {
    "python": "import os, time\nfor _ in range(40):\n    if not os.fork():\n        if not os.fork(): os._exit(0)\n        os._exit(0)\n    os.wait()\nfor _ in range(200):\n    left = [p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]\n    if not left: break\n    time.sleep(.01)\nprint(len(left), 'left')",
}
LUCK = {
    "python": "import random, secrets\nprint(random.random(), secrets.token_hex(4))",
    "javascript": "console.log(Math.random(), require('crypto').randomBytes(4).join())",
    "java": JAVA + 'System.out.println(Math.random() + " " + new java.util.Random().nextInt()); } }',
    "go": GO + 'import ("fmt"; "math/rand")\nfunc main() { fmt.Println(rand.Int()) }',
}
MARKS = "import os\nfound = []\nplaces = ('/tmp', '/dev/shm', os.path.expanduser('~'))\nfor place in places:\n    if os.path.exists(place + '/mark'): found.append(place)\nfor place in places: open(place + '/mark', 'w')\nprint(found)"
