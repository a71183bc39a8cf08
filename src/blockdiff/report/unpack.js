"use strict";
// What a run's numbers are unpacked from: deflated varints. See blockdiff/report/packing.py.

const STATES = ["equal", "zero", "hole", "changed", "bad", "unverified"];
const [EQUAL, ZERO, HOLE, CHANGED, BAD, UNVERIFIED] = [0, 1, 2, 3, 4, 5];
const CLASSES = {16: "data", 17: "src-zero", 18: "dst-zero", 19: "bit-flip", 20: "size", 21: "src-hole", 22: "dst-hole", 23: "over-reported"};
const OVER = 23;
const SIDES = {1: "source", 2: "target", 3: "both sides"};

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Varints {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  next() {
    let value = 0, scale = 1, byte;
    do {
      byte = this.bytes[this.at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    return value;
  }
}

function unpackRanges(facts, gaps, lengths, kinds) {
  const {count, unit, trim} = facts;
  const offsets = new Float64Array(count), sizes = new Float64Array(count), sums = new Float64Array(count + 1);
  let end = 0, g = 0, l = 0;
  for (let i = 0; i < count; i++) {
    // written out: this runs a million times
    let gap = 0, length = 0, scale = 1, byte;
    do { byte = gaps[g++]; gap += (byte & 127) * scale; scale *= 128; } while (byte & 128);
    scale = 1;
    do { byte = lengths[l++]; length += (byte & 127) * scale; scale *= 128; } while (byte & 128);
    offsets[i] = end + gap * unit;
    sizes[i] = length * unit;
    end = offsets[i] + sizes[i];
    if (i === count - 1) sizes[i] -= trim;
    sums[i + 1] = sums[i] + sizes[i];
  }
  return {offsets, sizes, sums, kinds, count};
}

function unpackMap(facts, size, bytes) {
  if (!facts) return null;
  const sums = STATES.map(() => new Float64Array(facts.cells + 1));
  const numbers = new Varints(bytes);
  let at = 0;
  for (let run = 0; run < facts.runs; run++) {
    const cells = numbers.next();
    const counts = STATES.map(() => numbers.next());
    for (let i = 0; i < cells; i++, at++) {
      for (let s = 0; s < STATES.length; s++) sums[s][at + 1] = sums[s][at] + counts[s];
    }
  }
  return {cell: facts.cell, cells: facts.cells, size, sums};
}

async function unpackRun(run) {
  const bytes = await inflate(run.blob);
  let at = 0;
  const parts = run.sizes.map((size) => bytes.subarray(at, at += size));
  return {
    map: unpackMap(run.map, run.size, parts[0]),
    ranges: unpackRanges(run.ranges, parts[1], parts[2], parts[3]),
    bad: unpackRanges(run.bad, parts[4], parts[5], parts[6]),
  };
}
