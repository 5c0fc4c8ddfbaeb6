// The map: footprints in the Mercator projection over a graticule, or over tiles where a server is named.

const panel = document.getElementById("map");
const svg = panel.querySelector("svg");

export const map = {
  template: "", // of the tiles' addresses
  view: null, // centre x and y, and width, as shares of the world
  show(hits) {
    this.hits = hits.filter((hit) => hit.footprint);
    panel.hidden = !this.hits.length;
    if (this.hits.length) this.fit();
  },
  place: ([longitude, latitude]) => [
    longitude / 360 + 0.5,
    0.5 - Math.asinh(Math.tan((Math.max(-85, Math.min(85, latitude)) * Math.PI) / 180)) / (2 * Math.PI),
  ],
  fit() {
    const points = this.hits.flatMap((hit) => hit.footprint.map(this.place));
    const [left, top, right, bottom] = [Math.min, Math.max].flatMap((end) => [0, 1].map((axis) => end(...points.map((point) => point[axis]))));
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, width: Math.min(1, 1.25 * Math.max(right - left, ((bottom - top) * this.size()[0]) / this.size()[1], 1e-5)) };
    this.draw();
  },
  draw() {
    const { x, y, width } = this.view, [across, down] = this.size(), scale = across / width, height = (width * down) / across;
    svg.setAttribute("viewBox", `0 0 ${across} ${down}`);
    const at = (point) => [across / 2 + (point[0] - x) * scale, down / 2 + (point[1] - y) * scale];
    const degrees = 360 * width, step = [45, 30, 15, 10, 5, 2, 1].find((s) => degrees / s >= 4) ?? 10 ** Math.ceil(Math.log10(degrees / 4) - 0.7) / 2;
    const latitude = (point) => (Math.atan(Math.sinh((0.5 - point) * 2 * Math.PI)) * 180) / Math.PI;
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    const named = (value, letters) => `${Math.abs(value).toFixed(digits)}° ${value ? letters[+(value < 0)] : ""}`;
    let drawn = this.tiles(at, scale, height);
    for (let s = Math.ceil(((x - width / 2 - 0.5) * 360) / step); s * step <= (x + width / 2 - 0.5) * 360; s++) {
      const [left] = at(this.place([s * step, 0]));
      drawn += `<path class="net" d="M${left} 0V${down}"/><text x="${left + 4}" y="${down - 6}">${named(s * step, "EW")}</text>`;
    }
    for (let s = Math.ceil(latitude(y + height / 2) / step); s * step <= latitude(y - height / 2); s++) {
      const [, top] = at(this.place([0, s * step]));
      drawn += `<path class="net" d="M0 ${top}H${across}"/><text x="4" y="${top - 4}">${named(s * step, "NS")}</text>`;
    }
    svg.innerHTML = drawn;
    for (const hit of [...this.hits].reverse()) {
      const points = hit.footprint.map((corner) => at(this.place(corner)));
      const middle = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
      svg.insertAdjacentHTML("beforeend", `<a href="#hit-${hit.rank}" data-rank="${hit.rank}"><title></title><path d="M${points.join("L")}Z"/><circle cx="${middle[0]}" cy="${middle[1]}" r="4"/></a>`);
      svg.lastChild.firstChild.textContent = `${hit.rank}: ${hit.label || hit.id}, distance ${hit.distance}`;
    }
  },
  size: () => [panel.clientWidth, panel.clientWidth < 600 ? 220 : 320],
  tiles(at, scale, height) {
    if (!this.template) return "";
    const zoom = Math.max(0, Math.min(19, Math.round(Math.log2(scale / 256)))), many = 2 ** zoom, side = scale / many;
    const { x, y, width } = this.view;
    let drawn = "";
    for (let column = Math.floor((x - width / 2) * many); column <= (x + width / 2) * many; column++)
      for (let row = Math.max(0, Math.floor((y - height / 2) * many)); row <= Math.min(many - 1, (y + height / 2) * many); row++) {
        const [left, top] = at([column / many, row / many]), values = { z: zoom, x: ((column % many) + many) % many, y: row };
        const source = this.template.replace(/\{([xyz])\}/g, (_, name) => values[name]).replace(/[&<>"]/g, (char) => `&#${char.charCodeAt()};`);
        drawn += `<image href="${source}" x="${left}" y="${top}" width="${side + 0.5}" height="${side + 0.5}"/>`;
      }
    return drawn;
  },
  zoom(by) {
    if (by === "fit") return this.fit();
    this.view.width = Math.min(1, Math.max(1e-6, this.view.width * by));
    this.draw();
  },
  move(across, down) { // in pixels of the drawing
    this.view.x += (across * this.view.width) / panel.clientWidth;
    this.view.y += (down * this.view.width) / panel.clientWidth;
    this.draw();
  },
  mark(rank, on) {
    panel.querySelector(`[data-rank="${rank}"]`)?.classList.toggle("here", on);
  },
};

panel.onclick = ({ target }) => target.dataset.zoom && map.zoom(+target.dataset.zoom || "fit");
svg.onkeydown = (event) => {
  const steps = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };
  const zooms = { "+": 0.5, "-": 2 };
  if (steps[event.key]) map.move(...steps[event.key]);
  else if (zooms[event.key]) map.zoom(zooms[event.key]);
  else return;
  event.preventDefault();
};
svg.onpointermove = (event) => {
  if (event.buttons === 1) map.move(-event.movementX, -event.movementY);
};
window.addEventListener("resize", () => panel.hidden || map.draw());
