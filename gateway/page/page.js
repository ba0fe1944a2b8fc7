"use strict";
const $ = (id) => document.getElementById(id);
const SAMPLES = {
  python: 'import time\n\nfor n in range(1, 6):\n    print(n, "·" * n, flush=True)\n    time.sleep(0.2)\n',
  javascript: 'const squares = [1, 2, 3, 4].map((n) => n * n);\nconsole.log(squares.join(" "));\n',
  java: 'public class Main {\n    public static void main(String[] args) {\n        System.out.println("Hello from Java " + Runtime.version().feature());\n    }\n}\n',
  go: 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfor n := range 3 {\n\t\tfmt.Println("Hello", n)\n\t}\n}\n',
  cpp: '#include <iostream>\n\nint main() {\n    std::cout << "Hello from C++\\n";\n}\n',
  rust: 'fn main() {\n    let sum: u32 = (1..=10).sum();\n    println!("{sum}");\n}\n',
};
const NAMES = { python: "Python", javascript: "JavaScript", java: "Java", go: "Go", cpp: "C++", rust: "Rust" };
const MOST_SHOWN = 400000;
const code = $("code"), output = $("output"), verdict = $("verdict"), language = $("language"), region = $("region");
const REASONS = { asked_for: "as asked for", home_has_no_runner: "home has no runner for it", home_away: "home is away", overflow: "it was idle", same_key: "as before" };
let execution = null, socket = null, next = 1, shown = 0, retries = 0;

function pickSample() {
  const known = Object.values(SAMPLES);
  const name = language.value.split("@")[0];
  if (code.value === "" || known.includes(code.value)) code.value = SAMPLES[name] || "";
  number();
}
function number() {
  const count = code.value.split("\n").length;
  $("lines").textContent = Array.from({ length: count }, (_, at) => at + 1).join("\n");
  $("lines").scrollTop = code.scrollTop;
}
function say(text, tone) {
  verdict.textContent = text;
  verdict.className = "verdict " + (tone || "");
}
function print(text, stream) {
  if (shown > MOST_SHOWN) return;
  shown += text.length;
  const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
  const last = output.lastElementChild;
  if (last && last.className === stream) last.append(text);
  else {
    const part = document.createElement("span");
    part.className = stream;
    part.textContent = text;
    output.append(part);
  }
  if (shown > MOST_SHOWN) output.append("\n… more than a page should hold; read it by the API\n");
  if (atEnd) output.scrollTop = output.scrollHeight;
}
function busy(is) {
  $("run").disabled = is;
  $("stop").hidden = !is;
}
function clear() {
  output.textContent = "";
  shown = 0;
  $("figures").textContent = "";
  $("times").hidden = true;
}
async function run() {
  if ($("run").disabled) return;
  busy(true);
  clear();
  say("sending", "busy");
  const [name, version] = language.value.split("@");
  const body = { language: name, version: version || "*", code: code.value, stdin: $("stdin").value };
  if (!region.hidden) body.region = region.value;
  try {
    const answer = await fetch("/api/v1/execute", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (!answer.ok) return refuse(told);
    execution = told.execution_id;
    next = 1;
    retries = 0;
    say("queued", "busy");
    follow(execution);
  } catch (error) {
    refuse({ title: "The gateway does not answer" });
  }
}
function refuse(told) {
  say(told.title, "bad");
  const faults = told.errors || [];
  print(faults.length ? faults.map((f) => `${f.field}: ${f.problem}. ${f.cure}\n`).join("") : (told.detail || "") + "\n", "stderr");
  busy(false);
}
function follow(id) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = (socket = new WebSocket(`${scheme}//${location.host}/ws/execution/${id}?from=${next}`));
  let attempt = null;
  mine.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.type === "status") {
      if (attempt && told.attempt && told.attempt !== attempt) {
        clear();
        next = 1;
      }
      attempt = told.attempt || attempt;
      if (told.status === "queued" || told.status === "running") say(told.status, "busy");
    } else if (told.type === "output") {
      next = told.seq + 1;
      retries = 0;
      print(told.data, told.stream);
    } else if (told.type === "complete") finish(told.result);
  };
  mine.onclose = (event) => {
    if (id !== execution || event.code === 1000) return;
    if (event.code !== 4004 && retries++ < 20) setTimeout(() => follow(id), 500);
    else refuse({ title: "The connection was lost", detail: `The result stays at /api/v1/executions/${id}` });
  };
}
function finish(result) {
  execution = null;
  busy(false);
  const ok = result.verdict === "ok";
  const words = (result.verdict || result.status).replaceAll("_", " ");
  say(result.exit_code ? `${words} (${result.exit_code})` : result.signal ? `${words} (${result.signal})` : words, ok ? "good" : result.cause === "limit" ? "warn" : "bad");
  if (!ok && result.message) print((shown ? "\n" : "") + result.message + "\n", "muted");
  if (ok && !shown) print("It printed nothing.\n", "muted");
  const mib = (bytes) => (bytes / 1048576).toFixed(1) + " MB";
  const ms = (n) => (n >= 1000 ? (n / 1000).toFixed(2) + " s" : n.toFixed(n < 10 ? 1 : 0) + " ms");
  if (result.usage) $("figures").textContent = `${ms(result.usage.cpu_ms)} CPU · ${mib(result.usage.memory_peak_bytes)}`;
  const parts = [["queued", "queued_ms"], ["sandbox", "sandbox_wait_ms"], ["compile", "compile_ms"], ["run", "run_ms"], ["total", "total_ms"]];
  const chips = region.hidden ? [] : [place(result)];
  $("times").replaceChildren(
    ...chips,
    ...parts.filter(([, field]) => result.timeline[field] !== null).map(([name, field]) => {
      const part = document.createElement("span");
      part.textContent = `${name} ${ms(result.timeline[field])}`;
      return part;
    }),
  );
  $("times").hidden = false;
}
function place(result) {
  const chip = document.createElement("span");
  const why = result.placement && REASONS[result.placement.reason];
  chip.className = "place";
  chip.textContent = why ? `${result.region}: ${why}` : result.region;
  return chip;
}
async function regions() {
  let rows = [];
  try {
    rows = await (await fetch("/api/v1/regions")).json();
  } catch (error) {
    return;
  }
  if (!Array.isArray(rows) || rows.length < 2) return;
  const chosen = region.value;
  const far = (row) => (!row.healthy ? " (not ready)" : row.home ? " (home)" : row.rtt_ms === null ? "" : ` (${Math.round(row.rtt_ms)} ms)`);
  region.replaceChildren(new Option("Nearest region", "auto"), ...rows.map((row) => new Option(row.region + far(row), row.region)));
  if (chosen && rows.some((row) => row.region === chosen)) region.value = chosen;
  region.hidden = false;
}
async function languages() {
  let rows = [];
  try {
    rows = await (await fetch("/api/v1/languages")).json();
  } catch (error) {
    rows = [];
  }
  const chosen = language.value;
  const options = rows.length ? rows.map((row) => [`${row.language}@${row.version}`, `${NAMES[row.language]} ${row.version}`]) : Object.entries(NAMES);
  language.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => value === chosen)) language.value = chosen;
  pickSample();
}
code.addEventListener("input", number);
code.addEventListener("scroll", () => ($("lines").scrollTop = code.scrollTop));
code.addEventListener("keydown", (event) => {
  if (event.key !== "Tab" || event.shiftKey || event.ctrlKey || event.altKey) return;
  event.preventDefault();
  code.setRangeText("    ", code.selectionStart, code.selectionEnd, "end");
  number();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
language.addEventListener("change", pickSample);
$("run").addEventListener("click", run);
region.addEventListener("focus", regions);
$("stop").addEventListener("click", () => execution && fetch(`/api/v1/executions/${execution}`, { method: "DELETE" }));
regions();
languages();
