'use strict';
// Required by a Node process that is started ahead of its job. It returns when the job has come, and Node goes on to
// its main program as if it had just been started: nothing of this file is on the stack then, or anywhere to be seen.
//
// Theory of operation. Node has by now booted and parsed its command line, whose main program is a placeholder.
// We load what nearly every program needs (the modules behind console.log and process.stdin), then read descriptor 3
// to its end: JSON, {"argv": [entry, ...arguments], "env": {name: value}}. What we then set is what Node itself would
// have set from its command line and environment.
//
// 1. Nothing here may use randomness, timers, or the streams of process: they belong to the program.
// 2. The entry was resolved before we ran. Node's next step is to call Module.runMain with it; a getter, gone after
//    its first use, hands out the same function bound to the job's entry. A bound function adds no frame to the stack.

const fs = require('fs');
const Module = require('module');
const { setBack } = require('./clock.js');
const { hide, isMainThread, once } = require('./start.js');

const wait = () => {
  require('net');
  require('tty');
  require('readline');
  const began = performance.now();
  const parts = [];
  for (;;) {
    const part = Buffer.allocUnsafeSlow(65536);
    const length = fs.readSync(3, part);
    if (length === 0) break;
    parts.push(part.subarray(0, length));
  }
  fs.closeSync(3);
  setBack(performance.now() - began);
  return JSON.parse(Buffer.concat(parts).toString());
};

const become = ({ argv, env }) => {
  process.argv.splice(1, Infinity, ...argv);
  for (const name of Object.keys(env)) process.env[name] = env[name];
  process.title = 'node';
  once(Module, 'runMain', (runMain) => runMain.bind(Module, argv[0]));
};

hide(__filename, require.resolve('./clock.js'), require.resolve('./start.js'));
if (isMainThread) become(wait());
