const fs = require("fs");
const { spawn } = require("child_process");
const { Worker, isMainThread } = require("worker_threads");
const say = (text) => fs.writeSync(1, text);

const actions = {
  report() {
    const lines = [fs.readFileSync("/proc/self/status", "utf8").trimEnd()];
    for (const [name, value] of Object.entries(process.env)) lines.push(`env ${name}=${value}`);
    for (const number of fs.readdirSync("/proc/self/fd")) {
      try {
        lines.push(`fd ${number} ${fs.readlinkSync("/proc/self/fd/" + number)}`);
      } catch {}
    }
    lines.push(`cpus ${require("os").cpus().length}`, `cwd ${process.cwd()}`);
    lines.push(`stdin ${fs.readFileSync(0).length}`);
    fs.mkdirSync("made");
    lines.push(`made ${(fs.statSync("made").mode & 0o777).toString(8)}`);
    console.log(lines.join("\n"));
  },
  eat() {
    say("before\n");
    const held = [];
    for (;;) held.push(Buffer.alloc(1 << 20, 1));
  },
  ask() {
    say("before\n");
    const held = [];
    for (let i = 0; ; i++) held.push({ i, text: "x" + i, more: [i, i + 1, i + 2] });
  },
  deep() {
    const down = (left) => (left ? 1 + down(left - 1) : 0);
    console.log(down(50000));
  },
  fall() {
    const down = (left) => 1 + down(left + 1);
    console.log(down(0));
  },
  flood() {
    for (;;) say("tick\n");
  },
  fill() {
    say("before\n");
    const file = fs.openSync("big", "w");
    for (let i = 0; i < 8; i++) fs.writeSync(file, Buffer.alloc(1 << 20), 0, 1 << 20, i << 20);
  },
  crowd() {
    say("before\n");
    for (let i = 0; i < 60; i++) new Worker("setTimeout(() => {}, 20000)", { eval: true });
    console.log("all there");
  },
  spin() {
    say("before\n");
    for (;;);
  },
  doze() {
    say("before\n");
    setTimeout(() => {}, 60000);
  },
  leave() {
    spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"], { stdio: "inherit" }).unref();
    console.log("gone");
    process.exit(0);
  },
};
actions[process.argv[2]]();
