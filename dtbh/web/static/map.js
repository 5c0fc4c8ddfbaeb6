// The map: footprints in the Mercator projection over a graticule, or over tiles where a server is named.

const panel = document.getElementById("map");
const svg = panel.querySelector("svg");
const NAME = 90; // pixels that the name of a meridian needs

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
  /** A footprint's corners, those beyond the 180th meridian too, beside the first. */
  corners: ({ footprint }) => footprint.map(([longitude, latitude]) => map.place([longitude - 360 * Math.round((longitude - footprint[0][0]) / 360), latitude])),
  fit() {
    const points = this.hits.flatMap(this.corners);
    const [left, top, right, bottom] = [Math.min, Math.max].flatMap((end) => [0, 1].map((axis) => end(...points.map((point) => point[axis]))));
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, width: Math.min(1, 1.25 * Math.max(right - left, ((bottom - top) * this.size()[0]) / this.size()[1], 1e-5)) };
    this.draw();
  },
  draw() {
    const { x, y, width } = this.view, [across, down] = this.size(), scale = across / width, height = (width * down) / across;
    svg.setAttribute("viewBox", `0 0 ${across} ${down}`);
    const at = (point) => [across / 2 + (point[0] - x) * scale, down / 2 + (point[1] - y) * scale];
    const least = (NAME * 360) / scale, tens = 10 ** Math.floor(Math.log10(least)); // in degrees
    const step = least > 1 ? [2, 5, 10, 15, 30].find((s) => s >= least) ?? 45 : [1, 2, 5, 10].find((s) => s * tens >= least) * tens;
    const latitude = (point) => (Math.atan(Math.sinh((0.5 - point) * 2 * Math.PI)) * 180) / Math.PI;
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    const named = (value, letters) => `${Math.abs(value).toFixed(digits)}° ${+value.toFixed(digits) ? letters[+(value < 0)] : ""}`;
    let drawn = this.tiles(at, scale, height), names = "";
    for (let s = Math.ceil(((x - width / 2 - 0.5) * 360) / step); s * step <= (x + width / 2 - 0.5) * 360; s++) {
      const [left] = at(this.place([s * step, 0]));
      drawn += `<path class="net" d="M${left} 0V${down}"/>`;
      if (left < across - NAME) names += `<text x="${left + 4}" y="${down - 6}">${named(s * step - 360 * Math.round((s * step) / 360), "EW")}</text>`;
    }
    for (let s = Math.ceil(latitude(y + height / 2) / step); s * step <= latitude(y - height / 2); s++) {
      const [, top] = at(this.place([0, s * step]));
      drawn += `<path class="net" d="M0 ${top}H${across}"/>`;
      if (top > 16 && top < down - 24) names += `<text x="4" y="${top - 4}">${named(s * step, "NS")}</text>`;
    }
    const held = document.activeElement?.dataset.rank;
    svg.innerHTML = drawn;
    for (const hit of [...this.hits].reverse()) {
      const points = this.corners(hit).map(at);
      const middle = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
      svg.insertAdjacentHTML("beforeend", `<a href="#hit-${hit.rank}" data-rank="${hit.rank}"><title></title><path d="M${points.join("L")}Z"/><circle cx="${middle[0]}" cy="${middle[1]}" r="4"/></a>`);
      svg.lastChild.firstChild.textContent = `${hit.rank}: ${hit.label || hit.id}, distance ${hit.distance}`;
    }
    svg.insertAdjacentHTML("beforeend", names);
    if (held) svg.querySelector(`[data-rank="${held}"]`)?.focus({ preventScroll: true });
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

panel.onclick = (event) => {
  const { zoom } = event.target.dataset, link = event.target.closest("a");
  if (zoom) map.zoom(+zoom || "fit");
  if (!link) return;
  event.preventDefault(); // following it would change the address, which stands for a search
  const card = document.querySelector(link.getAttribute("href"));
  document.querySelector(".card.here")?.classList.remove("here");
  card.classList.add("here");
  card.scrollIntoView({ block: "center" });
  card.querySelector("button").focus({ preventScroll: true });
};
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
