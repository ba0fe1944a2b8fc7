'use strict';
// A Node process counts time from its start. Where it waited for its job, that wait is taken out of what the program
// sees: process.uptime(), performance.now(), timeOrigin, marks and measures. (Node's own counters cannot be set.)

/** Replaces a function, or the getter of a property, by what *make* makes of it; all else stays as it was. */
const remake = (object, name, make) => {
  const found = Object.getOwnPropertyDescriptor(object, name);
  const kind = found?.get ? 'get' : 'value';
  if (typeof found?.[kind] === 'function') Object.defineProperty(object, name, { ...found, [kind]: make(found[kind]) });
};

const isObject = (value) => typeof value === 'object' && value !== null;

/** Lets time begin *waited* milliseconds later than it did. */
const setBack = (waited) => {
  remake(process, 'uptime', (inner) => ({ uptime: () => inner() - waited / 1000 }).uptime);

  const clock = Object.getPrototypeOf(performance);
  remake(clock, 'now', (inner) => ({
    now() {
      return inner.call(this) - waited;
    },
  }).now);
  remake(clock, 'timeOrigin', (inner) => function () {
    return inner.call(this) + waited;
  });
  remake(clock, 'mark', (inner) => ({
    mark(name, options) {
      const dated = options === undefined || (isObject(options) && options.startTime === undefined);
      return inner.call(this, name, dated ? { ...options, startTime: this.now() } : options);
    },
  }).mark);
  remake(clock, 'measure', (inner) => ({
    measure(name, start, end) {
      if (end !== undefined) return inner.call(this, name, start, end);
      if (!isObject(start) || Object.keys(start).length === 0) return inner.call(this, name, start, this.now());
      const ends = start.end !== undefined || (start.start !== undefined && start.duration !== undefined);
      return inner.call(this, name, ends ? start : { ...start, end: this.now() });
    },
  }).measure);
};

module.exports = { setBack };
