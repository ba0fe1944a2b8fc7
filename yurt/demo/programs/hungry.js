const kept = [];
for (let megabytes = 1; ; megabytes++) {
  kept.push(Buffer.alloc(1 << 20, 1));
  if (megabytes % 32 === 0) {
    console.log(`${megabytes} MB and still hungry`);
  }
}
