// What is known of any part of a volume: exact where ranges are listed, else as fine as the report's map is.

function firstEndingAfter(ranges, offset) {
  let low = 0, high = ranges.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges.offsets[middle] + ranges.sizes[middle] <= offset) low = middle + 1; else high = middle;
  }
  return low;
}

function bytesWithin(ranges, start, end) {
  const first = firstEndingAfter(ranges, start);
  const last = firstEndingAfter(ranges, end);  // the first that reaches past the end
  let total = ranges.sums[last] - ranges.sums[first];
  if (first < last) total -= Math.max(0, start - ranges.offsets[first]);
  if (last < ranges.count) {
    const from = Math.max(start, ranges.offsets[last]);
    if (first === last) return Math.max(0, Math.min(end, ranges.offsets[last] + ranges.sizes[last]) - from);
    total += Math.max(0, end - from);
  }
  return total;
}

// what a list of changes holds for nothing is no difference
function differing(ranges) {
  const kept = [...ranges.kinds.keys()].filter((i) => ranges.kinds[i] !== OVER);
  if (kept.length === ranges.count) return ranges;
  const pick = (column) => Float64Array.from(kept, (i) => column[i]);
  const made = {offsets: pick(ranges.offsets), sizes: pick(ranges.sizes), sums: new Float64Array(kept.length + 1), count: kept.length};
  made.sizes.forEach((length, i) => { made.sums[i + 1] = made.sums[i] + length; });
  return made;
}

class Volume {
  constructor(run, parts) {
    this.size = run.size;
    this.granularity = run.granularity;
    this.ranges = parts.ranges;
    this.differing = parts.ranges.kinds.includes(OVER) ? differing(parts.ranges) : parts.ranges;
    this.bad = parts.bad;
    this.findings = run.findings;
    this.map = parts.map;
    this.listsAll = run.ranges.all;
    this.badAll = run.bad.all;
    this.cell = parts.map ? parts.map.cell : Math.max(run.granularity, 2 ** Math.ceil(Math.log2(Math.max(1, run.size / 4096))));
  }

  // {counts: bytes by state, vague: true where the rest of a finer part may be any of several states}
  look(start, end) {
    end = Math.min(end, this.size);
    if (!this.map) return this.withoutMap(start, end);
    const {cell, cells, sums} = this.map;
    const first = Math.floor(start / cell), last = Math.min(cells, Math.ceil(end / cell));
    const whole = STATES.map((_, s) => sums[s][last] - sums[s][first]);
    if (start === first * cell && (end === last * cell || end === this.size)) return {counts: whole, vague: false};
    return this.finer(start, end, whole);
  }

  // a part of a cell: the listed ranges are exact, and the rest is the worst that the cell holds besides
  finer(start, end, whole) {
    const counts = [0, 0, 0, 0, 0, 0];
    const exactChanged = this.listsAll || whole[CHANGED] === 0, exactBad = this.badAll || whole[BAD] === 0;
    if (exactChanged || whole[CHANGED]) counts[CHANGED] = bytesWithin(this.differing, start, end);
    counts[BAD] = bytesWithin(this.bad, start, end);
    const rest = Math.max(0, end - start - counts[CHANGED] - counts[BAD]);
    const others = [UNVERIFIED, EQUAL, ZERO, HOLE].filter((state) => whole[state] > 0);
    if (!exactChanged) others.unshift(CHANGED);
    if (!exactBad) others.unshift(BAD);
    counts[others.length ? others[0] : UNVERIFIED] += rest;
    return {counts, vague: rest > 0 && others.length > 1, among: others};
  }

  withoutMap(start, end) {
    const counts = [0, 0, 0, 0, 0, 0];
    counts[CHANGED] = bytesWithin(this.differing, start, end);
    counts[BAD] = bytesWithin(this.bad, start, end);
    counts[UNVERIFIED] = Math.max(0, end - start - counts[CHANGED] - counts[BAD]);
    return {counts, vague: false};
  }

  // what the triage found of a range, in words
  found(start, end) {
    let low = 0, high = this.findings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.findings[middle][0] + this.findings[middle][1] <= start) low = middle + 1; else high = middle;
    }
    const words = new Set();
    for (let i = low; i < this.findings.length && this.findings[i][0] < end && words.size < 4; i++) words.add(this.findings[i][2]);
    const shown = [...words].slice(0, 3).join("; ");
    return words.size > 3 ? `${shown}; ...` : shown;
  }

  totals() {
    return this.look(0, this.size).counts;
  }
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function size(count) {
  let unit = 0, value = count;
  while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit++; }
  return unit === 0 ? `${value} B` : `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(value >= 10 ? 1 : 2)} ${UNITS[unit]}`;
}

const number = new Intl.NumberFormat("en-US");

// "4K", "1.5 GiB", "0x1000", "4,096": bytes; null for nothing, NaN for what is no size
function parseSize(text) {
  const clean = text.replace(/[\s,_]/g, "");
  if (!clean) return null;
  if (/^0x[0-9a-f]+$/i.test(clean)) return parseInt(clean, 16);
  const match = /^(\d+(?:\.\d+)?)(?:([KMGTP])(?:i?B)?|B)?$/i.exec(clean);
  return match ? Math.round(Number(match[1]) * 1024 ** " KMGTP".indexOf((match[2] || " ").toUpperCase())) : NaN;
}
