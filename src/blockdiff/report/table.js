// The ranges as rows. Only those that are seen exist, so a million of them scroll like ten.

const ROW = 28, TALLEST = 6000000, ON_PAPER = 200;

class RangeTable {
  constructor(chosen) {
    this.grid = document.getElementById("grid");
    this.rows = document.getElementById("rows");
    this.form = document.getElementById("filter");
    this.chosen = chosen;
    this.window = null;
    this.pool = [];
    this.grid.addEventListener("scroll", () => this.draw());
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("click", (event) => this.click(event));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.soon());
    this.form.addEventListener("reset", () => setTimeout(() => this.filter()));
    addEventListener("beforeprint", () => this.print());
    new ResizeObserver(() => this.draw()).observe(this.grid);
  }

  show(run, volume) {
    this.run = run;
    this.volume = volume;
    this.ranges = volume.ranges;
    const counts = new Map();
    for (const kind of this.ranges.kinds) counts.set(kind, (counts.get(kind) || 0) + 1);
    const boxes = [...counts].sort((a, b) => a[0] - b[0]).map(([kind, count]) => this.box(kind, count));
    document.getElementById("classes").replaceChildren(document.getElementById("classes").firstElementChild, ...boxes);
    const note = document.getElementById("range-note");
    note.textContent = this.missing(run);
    note.hidden = !note.textContent;
    this.form.reset();
    this.filter();
  }

  missing({ranges, found, command}) {
    if (command === "copy") return found ? `A report of copy lists no ranges: it wrote ${number.format(found)}.` : "";
    if (ranges.count < ranges.listed) return `The first ${number.format(ranges.count)} of ${number.format(ranges.listed)} ranges are in this page; the map counts all.`;
    if (!ranges.all) return `The report lists ${number.format(ranges.listed)} of ${number.format(found)} ranges; the map counts all.`;
    return "";
  }

  box(kind, count) {
    const label = document.createElement("label"), input = document.createElement("input");
    input.type = "checkbox";
    input.checked = input.defaultChecked = true;
    input.value = kind;
    label.append(input, ` ${CLASSES[kind]} (${number.format(count)})`);
    return label;
  }

  // ---- which rows ----

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.filter(), 60);
  }

  field(id, otherwise) {
    const input = document.getElementById(id), value = parseSize(input.value);
    input.classList.toggle("wrong", Number.isNaN(value));
    input.setAttribute("aria-invalid", String(Number.isNaN(value)));
    return value === null || Number.isNaN(value) ? otherwise : value;
  }

  setWindow(start, end) {
    this.window = [start, end];
    if (this.ranges && document.getElementById("shown").checked) this.soon();
  }

  filter() {
    const {offsets, sizes, kinds, count} = this.ranges;
    const wanted = new Uint8Array(256);
    for (const box of document.querySelectorAll("#classes input")) wanted[box.value] = box.checked ? 1 : 0;
    let from = this.field("from", 0), to = this.field("to", Infinity);
    const least = this.field("least", 0), most = this.field("most", Infinity);
    if (document.getElementById("shown").checked && this.window) {
      from = Math.max(from, this.window[0]);
      to = Math.min(to, this.window[1]);
    }
    const found = new Uint32Array(count);
    let n = 0;
    for (let i = 0; i < count; i++) {
      if (wanted[kinds[i]] && offsets[i] + sizes[i] > from && offsets[i] < to && sizes[i] >= least && sizes[i] <= most) found[n++] = i;
    }
    this.found = found.subarray(0, n);
    if (document.getElementById("order").value === "size") this.found.sort((a, b) => sizes[b] - sizes[a] || a - b);
    this.active = -1;
    this.grid.scrollTop = 0;
    this.drawn = "";
    this.tell();
    this.draw();
  }

  tell() {
    let total = 0;
    for (const i of this.found) total += this.ranges.sizes[i];
    const all = this.ranges.count, n = this.found.length;
    document.getElementById("range-count").textContent = `${n === all ? "" : `${number.format(n)} of `}${number.format(all)}, ${size(total)}`;
  }

  // ---- drawing ----

  get visible() { return Math.max(1, Math.floor(this.grid.clientHeight / ROW)); }

  get height() { return Math.min(TALLEST, this.found.length * ROW); }

  get first() {
    const n = this.found.length;
    if (n * ROW <= TALLEST) return this.grid.scrollTop / ROW;
    return this.grid.scrollTop / (TALLEST - this.grid.clientHeight) * (n - this.grid.clientHeight / ROW);
  }

  draw() {
    if (!this.found) return;
    const n = this.found.length;
    this.rows.style.height = `${n ? this.height : 80}px`;
    if (!this.grid.clientHeight) return;
    const first = Math.max(0, Math.min(this.first, n - this.grid.clientHeight / ROW)), from = Math.floor(first);
    const wanted = n ? Math.min(n - from, this.visible + 2) : 0;
    const key = `${first},${wanted},${this.active}`;
    if (key === this.drawn) return;
    this.drawn = key;
    while (this.pool.length < wanted) this.pool.push(this.make());
    const nodes = this.pool.slice(0, wanted);
    nodes.forEach((row, k) => this.fill(row, from + k, this.grid.scrollTop + (from + k - first) * ROW));
    if (!n) nodes.push(this.empty());
    if (nodes.length !== this.rows.childElementCount || nodes[nodes.length - 1].parentElement !== this.rows) this.rows.replaceChildren(...nodes);
    if (this.active >= from && this.active < from + wanted) this.grid.setAttribute("aria-activedescendant", `row-${this.active}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  make() {
    const row = document.createElement("div");
    row.className = "row";
    row.setAttribute("role", "option");
    for (const name of ["num", "num", "near", "num", ""]) row.appendChild(document.createElement("span")).className = name;
    return row;
  }

  empty() {
    const text = document.createElement("div");
    text.className = "empty";
    text.textContent = this.ranges.count ? "No range is like that: reset the filter." : "No ranges are listed.";
    return text;
  }

  fill(row, at, top) {
    const i = this.found[at], {offsets, sizes, kinds} = this.ranges;
    row.style.transform = `translateY(${top}px)`;
    row.id = `row-${at}`;
    row.dataset.at = at;
    row.classList.toggle("active", at === this.active);
    row.setAttribute("aria-selected", String(at === this.active));
    row.setAttribute("aria-setsize", this.found.length);
    row.setAttribute("aria-posinset", at + 1);
    const texts = [number.format(i + 1), number.format(offsets[i]), size(offsets[i]), number.format(sizes[i]), this.kind(i)];
    row.title = texts[4];
    texts.forEach((text, k) => { row.children[k].textContent = text; });
  }

  kind(i) {
    const {offsets, sizes, kinds} = this.ranges, found = this.volume.found(offsets[i], offsets[i] + sizes[i]);
    return found ? `${CLASSES[kinds[i]]}: ${found}` : CLASSES[kinds[i]];
  }

  print() {
    if (!this.found) return;
    const body = document.querySelector("#paper tbody");
    body.replaceChildren(...Array.from(this.found.subarray(0, ON_PAPER), (i) => {
      const row = document.createElement("tr");
      for (const text of [number.format(this.ranges.offsets[i]), number.format(this.ranges.sizes[i]), this.kind(i)]) row.insertCell().textContent = text;
      return row;
    }));
    if (this.found.length > ON_PAPER) body.insertRow().insertCell().textContent = `and ${number.format(this.found.length - ON_PAPER)} more`;
  }

  // ---- pointer and keys ----

  click(event) {
    const row = event.target.closest(".row");
    if (row) this.choose(Number(row.dataset.at));
  }

  choose(at) {
    this.select(at);
    const i = this.found[at];
    this.chosen(this.ranges.offsets[i], this.ranges.offsets[i] + this.ranges.sizes[i]);
  }

  select(at) {
    const n = this.found.length;
    if (!n) return;
    this.active = Math.max(0, Math.min(n - 1, at));
    const first = this.first, room = this.grid.clientHeight / ROW;
    if (this.active < first) this.scrollTo(this.active);
    else if (this.active + 1 > first + room) this.scrollTo(this.active + 1 - room);
    this.drawn = "";
    this.draw();
  }

  scrollTo(first) {
    const n = this.found.length;
    this.grid.scrollTop = n * ROW <= TALLEST ? first * ROW : first / (n - this.grid.clientHeight / ROW) * (TALLEST - this.grid.clientHeight);
  }

  key(event) {
    const n = this.found ? this.found.length : 0;
    const to = {ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + this.visible, PageUp: this.active - this.visible, Home: 0, End: n - 1}[event.key];
    if (to !== undefined) this.select(to);
    else if (event.key === "Enter" && this.active >= 0) this.choose(this.active);
    else return;
    event.preventDefault();
  }
}
