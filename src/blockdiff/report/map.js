// The block map: cells on a canvas, each as exact as the report is. A cell with anything changed is never without colour.

const PITCH = 12, GAP = 2, ROWS = 24;

class BlockMapView {
  constructor(moved) {
    this.canvas = document.getElementById("map");
    this.tip = document.getElementById("tip");
    this.status = document.getElementById("map-status");
    this.moved = moved;
    this.volume = null;
    this.drag = null;
    this.listen();
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    canvas.addEventListener("pointerdown", (event) => { this.drag = this.cellAt(event); this.select(this.drag); });
    canvas.addEventListener("pointerup", (event) => this.dropped(event));
    canvas.addEventListener("dblclick", (event) => this.zoomAt(this.middle(this.cellAt(event)), 1));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.draw());
    canvas.addEventListener("focus", () => this.draw());
    new ResizeObserver(() => { if (this.volume) this.layout(); }).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    const click = (id, act) => document.getElementById(id).addEventListener("click", act);
    click("zoom-in", () => this.zoomAt(this.middle(this.cursor), 1));
    click("zoom-out", () => this.zoomAt(this.middle(this.cursor), -1));
    click("zoom-all", () => this.all());
    click("next", () => this.step(1));
    click("previous", () => this.step(-1));
  }

  show(volume) {
    this.volume = volume;
    this.width = 0;
    this.layout();
    this.all();
  }

  // how many cells there is room for, and how many bytes a cell can stand for
  layout() {
    const width = this.canvas.parentElement.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    const middle = this.level === undefined ? 0 : this.middle(this.cursor);
    this.columns = Math.max(8, Math.floor((width + GAP) / PITCH));
    this.room = this.columns * Math.max(ROWS, Math.ceil(1100 / this.columns));
    const {cell, size: total, granularity} = this.volume;
    const fine = [cell];
    while (fine[0] / 4 >= granularity && Number.isInteger(fine[0] / 4)) fine.unshift(fine[0] / 4);
    if (fine[0] / 2 >= granularity && Number.isInteger(fine[0] / 2)) fine.unshift(fine[0] / 2);
    const most = Math.max(1, Math.ceil(Math.ceil(total / cell) / this.room));
    for (let times = 4; times < most; times *= 4) fine.push(times * cell);
    if (most > 1) fine.push(most * cell);
    const level = this.level;
    this.levels = fine;
    while (this.levels.length > 1 && this.levels[this.levels.length - 2] * this.room >= total && this.levels[this.levels.length - 1] > cell) this.levels.pop();
    if (level === undefined) { this.all(); return; }
    this.look(Math.min(level, this.levels.length - 1), middle);
  }

  get unit() { return this.levels[this.level]; }

  get end() { return Math.min(this.volume.size, this.start + this.room * this.unit); }

  all() {
    const cell = this.levels.indexOf(this.volume.cell);
    this.cursor = 0;
    this.look(Math.max(cell, this.levels.length - 1), 0);
  }

  // a level, with the byte ``middle`` in the middle
  look(level, middle) {
    this.level = Math.max(0, Math.min(this.levels.length - 1, level));
    const unit = this.unit, span = this.room * unit, total = this.volume.size;
    const last = Math.max(0, Math.ceil(total / unit) * unit - span);
    this.start = Math.max(0, Math.min(last, Math.floor((middle - span / 2) / unit) * unit));
    this.count = Math.max(0, Math.ceil((this.end - this.start) / unit));
    this.cursor = Math.max(0, Math.min(this.count - 1, Math.floor((middle - this.start) / unit)));
    this.draw();
    this.moved(this.start, this.end, unit);
    this.tell();
  }

  middle(cell) { return Math.min(this.volume.size, this.start + cell * this.unit + this.unit / 2); }

  zoomAt(middle, direction) { this.look(this.level - direction, middle); }

  // the smallest level that shows all of a range
  fit(start, end) {
    let level = 0;
    while (level < this.levels.length - 1 && this.levels[level] * this.room < end - start) level++;
    this.look(level, (start + end) / 2);
  }

  // a range of the table: at a scale where its neighbours are seen too
  reveal(start, end) {
    const wanted = Math.max(end - start, this.volume.granularity) * 16;
    let level = 0;
    while (level < this.levels.length - 1 && this.levels[level] * this.room < wanted) level++;
    this.look(Math.min(this.level, level), start);
    this.select(Math.max(0, Math.floor((start - this.start) / this.unit)));
  }

  step(direction) {
    const {ranges} = this.volume;
    const from = this.start + this.cursor * this.unit;
    let at = firstEndingAfter(ranges, direction > 0 ? from + this.unit : from);
    if (direction > 0 && at < ranges.count && ranges.offsets[at] < from + this.unit) at++;
    if (direction < 0) at--;
    if (at < 0 || at >= ranges.count) { this.say(`There is no difference ${direction > 0 ? "after" : "before"} this.`); return; }
    const offset = ranges.offsets[at];
    if (offset < this.start || offset >= this.end) this.look(this.level, offset);
    this.select(Math.floor((offset - this.start) / this.unit));
  }

  select(cell) {
    if (cell < 0 || cell >= this.count) return;
    this.cursor = cell;
    this.draw();
    this.tell();
  }

  // ---- drawing ----

  colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    return {states: STATES.map(read), card: read("card"), ink: read("ink"), focus: read("focus"), soft: read("soft")};
  }

  draw() {
    if (!this.volume || this.level === undefined) return;
    const scale = Math.max(1, window.devicePixelRatio || 1);
    const rows = Math.max(1, Math.ceil(this.count / this.columns));
    const height = rows * PITCH;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(height * scale);
    const g = this.canvas.getContext("2d"), colours = this.colours();
    g.scale(scale, scale);
    for (let i = 0; i < this.count; i++) {
      const x = (i % this.columns) * PITCH, y = Math.floor(i / this.columns) * PITCH;
      const start = this.start + i * this.unit;
      this.cell(g, x, y, PITCH - GAP, this.volume.look(start, start + this.unit).counts, colours);
    }
    if (this.count && (document.activeElement === this.canvas || this.level < this.levels.length - 1)) {
      const x = (this.cursor % this.columns) * PITCH, y = Math.floor(this.cursor / this.columns) * PITCH;
      g.strokeStyle = colours.ink;
      g.lineWidth = 2;
      g.strokeRect(Math.max(1, x - 1), Math.max(1, y - 1), PITCH - 1, PITCH - 1);
    }
  }

  cell(g, x, y, side, counts, colours) {
    const total = counts.reduce((sum, count) => sum + count, 0) || 1;
    const calm = [EQUAL, ZERO, HOLE].reduce((best, state) => counts[state] > counts[best] ? state : best, EQUAL);
    const fill = (state, part) => {
      g.fillStyle = colours.states[state];
      const height = part >= 1 ? side : Math.max(4, Math.round(side * Math.sqrt(part)));
      g.fillRect(x, y + side - height, side, height);
    };
    g.fillStyle = counts[calm] ? colours.states[calm] : colours.card;
    g.fillRect(x, y, side, side);
    if (counts[UNVERIFIED]) this.hatch(g, x, y, side, colours);
    if (counts[CHANGED]) fill(CHANGED, counts[CHANGED] / total);
    if (counts[BAD]) {
      fill(BAD, 1);
      g.strokeStyle = colours.card;
      g.lineWidth = 1.6;
      g.beginPath();
      g.moveTo(x + 2, y + 2); g.lineTo(x + side - 2, y + side - 2);
      g.moveTo(x + side - 2, y + 2); g.lineTo(x + 2, y + side - 2);
      g.stroke();
    }
  }

  hatch(g, x, y, side, colours) {
    g.save();
    g.beginPath();
    g.rect(x, y, side, side);
    g.clip();
    g.strokeStyle = colours.states[UNVERIFIED];
    g.lineWidth = 2.6;
    g.beginPath();
    for (let d = -side; d <= side; d += 5) { g.moveTo(x + d, y + side); g.lineTo(x + d + side, y); }
    g.stroke();
    g.restore();
  }

  // ---- words ----

  describe(cell) {
    const start = this.start + cell * this.unit, end = Math.min(this.volume.size, start + this.unit);
    const {counts, vague, among} = this.volume.look(start, end);
    const parts = STATES.map((name, state) => [name, counts[state]]).filter(([, count]) => count > 0);
    let text = parts.map(([name, count]) => parts.length === 1 ? `all ${name}` : `${size(count)} ${name}`).join(", ");
    if (vague) {
      const names = among.map((state) => STATES[state]).join(" or ");
      text += ` (the rest is ${names}: the report does not say it finer than ${size(this.volume.cell)})`;
    }
    const inside = this.rangesWithin(start, end);
    return {title: `${number.format(start)} to ${number.format(end)}`, where: `${size(end - start)} at ${size(start)}`, text, inside};
  }

  rangesWithin(start, end) {
    const {ranges} = this.volume, found = [];
    let at = firstEndingAfter(ranges, start), more = 0;
    for (; at < ranges.count && ranges.offsets[at] < end; at++) {
      if (found.length < 3) found.push(`${number.format(ranges.offsets[at])} + ${number.format(ranges.sizes[at])}, ${this.kind(at)}`);
      else { more = firstEndingAfter(ranges, end) - at; break; }
    }
    if (more > 0) found.push(`and ${number.format(more)} more ranges`);
    const {bad} = this.volume;
    const first = firstEndingAfter(bad, start);
    if (first < bad.count && bad.offsets[first] < end) found.push(`${number.format(bad.offsets[first])} + ${number.format(bad.sizes[first])}, unreadable (${SIDES[bad.kinds[first]]})`);
    return found;
  }

  kind(at) {
    const {offsets, sizes, kinds} = this.volume.ranges, found = this.volume.found(offsets[at], offsets[at] + sizes[at]);
    return found ? `${CLASSES[kinds[at]]}: ${found}` : CLASSES[kinds[at]];
  }

  tell() {
    if (!this.count) { this.say("The volume is empty."); return; }
    const {title, where, text, inside} = this.describe(this.cursor);
    this.say(`Bytes ${title} (${where}): ${text}.${inside.length ? ` Ranges: ${inside.join("; ")}.` : ""}`);
  }

  say(text) { this.status.textContent = text; }

  // ---- pointer and keys ----

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.min(this.columns - 1, Math.floor((event.clientX - box.left) / PITCH));
    return Math.max(0, Math.min(this.count - 1, Math.floor((event.clientY - box.top) / PITCH) * this.columns + column));
  }

  hover(event) {
    if (!this.count) return;
    const {title, where, text, inside} = this.describe(this.cellAt(event));
    const bold = document.createElement("b"), rest = document.createElement("span");
    bold.textContent = title;
    rest.textContent = [where, text, ...inside].join("\n");
    this.tip.replaceChildren(bold, rest);
    this.tip.hidden = false;
    const box = this.canvas.parentElement.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const left = x + 16 + this.tip.offsetWidth > box.width ? Math.max(0, x - this.tip.offsetWidth - 12) : x + 16;
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${y + 18}px`;
  }

  dropped(event) {
    if (this.drag === null || !this.count) return;
    const [first, last] = [this.drag, this.cellAt(event)].sort((a, b) => a - b);
    this.drag = null;
    if (last > first) this.fit(this.start + first * this.unit, Math.min(this.volume.size, this.start + (last + 1) * this.unit));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns}[event.key];
    const acts = {
      "+": () => this.zoomAt(this.middle(this.cursor), 1), "=": () => this.zoomAt(this.middle(this.cursor), 1),
      Enter: () => this.zoomAt(this.middle(this.cursor), 1), "-": () => this.zoomAt(this.middle(this.cursor), -1),
      Backspace: () => this.zoomAt(this.middle(this.cursor), -1), Escape: () => this.all(), Home: () => this.all(),
      n: () => this.step(1), p: () => this.step(-1),
      PageDown: () => this.look(this.level, this.middle(this.cursor) + this.room * this.unit / 2),
      PageUp: () => this.look(this.level, Math.max(0, this.middle(this.cursor) - this.room * this.unit / 2)),
    };
    if (move !== undefined) this.walk(move);
    else if (acts[event.key]) acts[event.key]();
    else return;
    event.preventDefault();
  }

  // past the edge the map moves along
  walk(move) {
    const next = this.cursor + move, offset = this.start + next * this.unit;
    if (next >= 0 && next < this.count) this.select(next);
    else if (offset >= 0 && offset < this.volume.size) this.look(this.level, offset);
  }
}
