const text = require("node:fs").readFileSync(0, "utf8");
const counts = new Map();
for (const word of text.toLowerCase().match(/[a-z]+/g) ?? []) {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}
const most = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, 3);
for (const [word, count] of most) {
  console.log(`${word.padEnd(8)}${count}`);
}
