// What is taken away: hits as CSV, GeoJSON and JSON, and their files as a zip.

import { answered, make, sending } from "./service.js";

/** Hand a file to the reader. */
export function save(content, type, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** The hits as CSV, on request after the name of their query: what every hit has, then the further fields of any; footprints as WKT, which GIS programs read. */
export function table(hits, named = false) {
  const alike = hits.some((hit) => hit.similarity != null) ? ["similarity"] : [];
  const known = [...(named ? ["query"] : []), "rank", "distance", ...alike, "probability", "archive", "id", "modality", "label", "pair", "split", "speaker", "transcript", "code"];
  const wkt = ({ footprint: ring }) => ring && `POLYGON ((${[...ring, ring[0]].map((corner) => corner.join(" ")).join(", ")}))`;
  const rows = hits.map((hit) => ({ ...hit.fields, ...hit, footprint: wkt(hit) }));
  const more = new Set([...hits.flatMap((hit) => Object.keys(hit.fields)), ...(hits.some(wkt) ? ["footprint"] : [])]);
  const columns = [...new Set([...known, ...more])];
  const cell = (value) => (/[",\r\n]/.test(value ?? "") ? `"${value.replaceAll('"', '""')}"` : (value ?? ""));
  return [columns.map(cell), ...rows.map((row) => columns.map((name) => cell(row[name])))].map((row) => row.join(",") + "\r\n").join("");
}

/** The footprints of hits as a FeatureCollection (RFC 7946: outer rings run counterclockwise). */
export function geojson(hits) {
  const features = hits.filter((hit) => hit.footprint).map(({ footprint, fields, vector, ...known }) => {
    const twice = footprint.reduce((sum, [x, y], i) => sum + (footprint[(i + 1) % footprint.length][0] - x) * (footprint[(i + 1) % footprint.length][1] + y), 0);
    const ring = twice > 0 ? [...footprint].reverse() : footprint;
    return { type: "Feature", geometry: { type: "Polygon", coordinates: [[...ring, ring[0]]] }, properties: { ...known, ...fields } };
  });
  return JSON.stringify({ type: "FeatureCollection", features }, null, 1);
}

/** The files of hits as a zip. */
export async function zipped(hits) {
  const items = hits.map(({ id, archive }) => ({ id, archive }));
  save(await (await answered("v1/export", sending({ items }))).blob(), "application/zip", "items.zip");
}
