// Hits that the reader has chosen: set side by side, or taken away as a table, footprints or files.

import { geojson, save, table, zipped } from "./downloads.js";
import { $, make, say, state } from "./service.js";

const FEW = [2, 4]; // that can be compared
const chosen = new Map(); // hits by archive and id, in the order in which they were chosen
const key = (hit) => JSON.stringify([hit.archive, hit.id]);

export const selection = {
  compare: () => {}, // sets hits side by side
  query: null, // that found them

  /** Forget what another query found, and what these hits have no longer. */
  keep(hits) {
    const now = new Map(hits.map((hit) => [key(hit), hit])), same = this.query === state.query.code;
    for (const one of [...chosen.keys()]) same && now.has(one) ? chosen.set(one, now.get(one)) : chosen.delete(one);
    this.query = state.query.code;
    this.show();
  },

  show() {
    const hits = [...chosen.values()];
    $("chosen").hidden = !hits.length;
    $("chosen-count").textContent = `${hits.length} chosen`;
    $("compare-chosen").disabled = hits.length < FEW[0] || hits.length > FEW[1];
    $("compare-chosen").title = $("compare-chosen").disabled ? `Choose ${FEW.join(" to ")} to compare them` : "";
    $("geojson-chosen").hidden = !hits.some((hit) => hit.footprint);
  },
};

/** A hit's own box to choose it. */
export function choice(hit, name) {
  const box = make("input", { type: "checkbox", className: "choose", checked: chosen.has(key(hit)), title: "choose" });
  box.setAttribute("aria-label", `Choose ${name}, rank ${hit.rank}`);
  box.onchange = () => (box.checked ? chosen.set(key(hit), hit) : chosen.delete(key(hit)), selection.show());
  return box;
}

const ranked = () => [...chosen.values()].sort((a, b) => a.rank - b.rank);

$("compare-chosen").onclick = () => selection.compare(ranked());
$("csv-chosen").onclick = () => save(table(ranked()), "text/csv", "chosen.csv");
$("geojson-chosen").onclick = () => save(geojson(ranked()), "application/geo+json", "chosen.geojson");
$("zip-chosen").onclick = () => zipped(ranked()).catch((error) => say(error.message, true));
$("clear-chosen").onclick = () => {
  chosen.clear();
  for (const box of document.querySelectorAll("#hits .choose")) box.checked = false;
  selection.show();
  $("result-name").focus();
};
