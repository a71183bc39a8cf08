// Puts the page together: one run is shown at a time, the one that the address names or else the newest.

class Page {
  constructor(runs) {
    this.runs = runs;
    this.unpacked = new Map();
    this.map = new BlockMapView((start, end, unit) => this.looked(start, end, unit));
    this.table = new RangeTable((start, end) => this.map.reveal(start, end));
    addEventListener("hashchange", () => this.open());
  }

  chosen() {
    const match = /^#run-(\d+)$/.exec(location.hash);
    return this.runs.find((run) => match && run.number === Number(match[1])) || this.runs[this.runs.length - 1];
  }

  async open() {
    const run = this.chosen();
    for (const part of document.querySelectorAll("[data-run]")) part.hidden = Number(part.dataset.run) !== run.number;
    for (const row of document.querySelectorAll("[data-history]")) row.classList.toggle("current", Number(row.dataset.history) === run.number);
    if (!this.unpacked.has(run.number)) this.unpacked.set(run.number, new Volume(run, await unpackRun(run)));
    if (this.chosen() !== run) return;
    this.run = run;
    this.volume = this.unpacked.get(run.number);
    for (const part of document.querySelectorAll("[data-script]")) part.hidden = false;
    this.legend();
    for (const id of ["next", "previous"]) document.getElementById(id).disabled = !this.volume.ranges.count;
    this.table.show(run, this.volume);
    this.map.show(this.volume);
    document.documentElement.dataset.ready = run.number;
  }

  legend() {
    const totals = this.volume.totals();
    STATES.forEach((state, i) => {
      const item = document.querySelector(`[data-state="${state}"]`);
      item.querySelector("b")?.remove();
      const bytes = document.createElement("b");
      bytes.textContent = size(totals[i]);
      item.append(bytes);
    });
    document.getElementById("no-map").hidden = Boolean(this.volume.map);
  }

  looked(start, end, unit) {
    document.getElementById("map-scale").textContent = `one cell is ${size(unit)}; ${size(start)} to ${size(end)} of ${size(this.volume.size)}`;
    document.getElementById("zoom-in").disabled = this.map.level === 0;
    document.getElementById("zoom-out").disabled = document.getElementById("zoom-all").disabled = this.map.level === this.map.levels.length - 1;
    this.table.setWindow(start, end);
    const mark = document.querySelector(`.strip[data-run="${this.run.number}"] .window`);
    if (!mark) return;
    mark.hidden = end - start >= this.volume.size;
    mark.style.left = `${100 * start / this.volume.size}%`;
    mark.style.width = `${100 * (end - start) / this.volume.size}%`;
  }
}

function trouble(text) {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = false;
}

if (typeof DecompressionStream === "undefined") {
  trouble("This browser is too old to unpack the ranges: it lacks DecompressionStream, which Chrome 80, Firefox 113 and Safari 16.4 have. The result, the strip and all else on this page are complete.");
} else {
  const page = new Page(JSON.parse(document.getElementById("data").textContent));
  page.open().catch((error) => trouble(`The ranges in this page cannot be unpacked, so they are not shown: ${error}`));
}
