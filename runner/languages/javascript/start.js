'use strict';
// Required by every Node process we start, warm or cold, before its main program: output is made whole, and what
// shows that anything was required, or which flags were given, is taken away.
//
// 1. Output into a pipe is written at once and whole, so that process.exit() loses none of it. Node's own habit is to
//    queue what does not fit the pipe, and to forget the queue at exit.
// 2. Worker threads inherit --require and flags: in them this file only hides itself.
// 3. Nothing here opens a stream that the program does not open.

const Module = require('module');

/** Replaces a property by a getter that puts the property back, at its first use, before it answers. */
const once = (object, name, answer) => {
  const original = Object.getOwnPropertyDescriptor(object, name);
  Object.defineProperty(object, name, {
    configurable: true,
    enumerable: original.enumerable,
    get() {
      Object.defineProperty(object, name, original);
      return answer(object[name]);
    },
  });
};

const writeWhole = (name) => {
  once(process, name, (stream) => {
    if (stream._type === 'pipe') stream._handle?.setBlocking?.(true);
    return stream;
  });
};

const hide = (...files) => {
  process.execArgv.length = 0;
  const preloaded = (process._preload_modules ?? []).filter((name) => !files.includes(name));
  Object.defineProperty(process, '_preload_modules', { value: preloaded });
  for (const file of files) delete require.cache[file];
  for (const key of Object.keys(Module._pathCache)) {
    if (files.includes(Module._pathCache[key])) delete Module._pathCache[key];
  }
};

hide(__filename);
const { isMainThread } = require('worker_threads');
if (isMainThread) {
  writeWhole('stdout');
  writeWhole('stderr');
}

module.exports = { hide, isMainThread, once };
