// The page: a query goes to the service, its hits come back. No framework, no build, nothing from elsewhere.

import { map } from "./map.js";
import { recorder } from "./recorder.js";

const $ = (id) => document.getElementById(id);
const MANY = 30; // hits, until more are asked for
const IMAGE = /\.(jpe?g|png|tiff?|webp|bmp|gif|jp2|p[gpbn]m)$/i;
const STRENGTH = { strong: "The nearest are likely what you mean", weak: "The nearest may be what you mean", "nothing close": "Nothing close: what follows is the nearest, but likely not what you mean" };
const PLAY = '<svg viewBox="0 0 14 14" aria-hidden="true"><path class="play" d="M3 1.2 12.4 7 3 12.8z"/><path class="pause" d="M2.5 1.5h3v11h-3zM8.5 1.5h3v11h-3z"/></svg>';

const state = { served: null, query: null, find: null, reply: null, k: MANY, under: null }; // query, find: of what is shown

/** An element with properties and children; texts stay texts. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child != null));
  return element;
}

// ---- the service

async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is dtbh serve still running?");
  }
  const content = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Error(content.detail || `The service answered ${reply.status}.`);
  return content;
}

const chosen = () => $("archive").value.split("\n").filter(Boolean);
const entries = () => state.served.archives.filter((archive) => chosen().includes(archive.name));
const count = (what) => entries().reduce((sum, archive) => sum + archive[what], 0);
const media = (item, size) =>
  `/v1/items/${encodeURIComponent(item.id)}/media?` + new URLSearchParams({ archive: item.archive, ...(size && { size }) });

/** An item with all that the service tells of it alone. */
const known = (id, archive) => ask(`/v1/items/${encodeURIComponent(id)}?${new URLSearchParams({ archive })}`);

/** Which modality a query finds if nobody said: the other one, where the archive has it. */
const other = (modality) => (modality === "image" ? (count("sounds") ? "sound" : "image") : count("images") ? "image" : "sound");

/** Run a search, show it, and put it into the address; a search under way is given up. What fails changes nothing. */
async function search(query, run, { push = true } = {}) {
  state.under?.abort();
  const under = (state.under = new AbortController());
  say("");
  $("hits").setAttribute("aria-busy", "true");
  try {
    const reply = await run(under.signal);
    if (under.signal.aborted) return;
    const [answer] = reply.queries;
    if (answer.modality === "sound") $("text").value = answer.heard ?? "";
    Object.assign(state, { reply, find: find(), query: { ...query, heard: answer.heard ?? query.heard, belief: answer.belief, code: answer.code, vector: answer.vector ?? query.vector, preview: query.preview ?? answer.preview } });
    if (push) history.pushState({ query: { ...state.query, source: null } }, "", "?" + address());
    show();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (state.find) find(state.find);
    say(error.message, true);
  } finally {
    if (state.under === under) $("hits").removeAttribute("aria-busy");
  }
}

async function byFile(file) {
  await ready; // somebody may be quicker than the service says what it has
  if (!state.served) return;
  const modality = file.type.startsWith("image/") || IMAGE.test(file.name) ? "image" : "sound";
  const most = state.served.limits.upload_mb;
  if (file.size > most * 1e6) return say(`${file.name}: too large, at most ${most} MB can be sent.`, true);
  const query = { name: file.name, modality, source: URL.createObjectURL(file) };
  find(other(modality));
  const waits = entries().some((archive) => archive.model === "loading");
  await search(query, async (signal) => {
    say(waits ? "The model is still loading; the answer comes as soon as it is there." : "Searching…");
    const form = new FormData();
    form.append("file", file);
    const reply = await ask(`/v1/search/${modality}?${filters()}&preview=true`, { method: "POST", body: form, signal });
    say("");
    return reply;
  });
  if (!$("result").hidden) $("result-name").focus();
}

async function byText(text) {
  find(other("sound"));
  const asked = filters();
  const body = { texts: [text], archive: chosen(), k: state.k, find: find(), where: asked.getAll("where") };
  if (asked.has("distance")) body.distance = +asked.get("distance");
  const headers = { "content-type": "application/json" };
  await search({ name: text, modality: "text" }, (signal) => ask("/v1/search/text", { method: "POST", headers, body: JSON.stringify(body), signal }));
  if (!$("result").hidden) $("result-name").focus();
}

function byCode(query, options) {
  const asked = filters();
  const body = { codes: [query.code], vectors: query.vector ? [query.vector] : null, belief: query.belief ?? null, archive: chosen(), k: state.k, find: find(), where: asked.getAll("where") };
  if (asked.has("distance")) body.distance = +asked.get("distance");
  const headers = { "content-type": "application/json" };
  return search(query, (signal) => ask("/v1/search/code", { method: "POST", headers, body: JSON.stringify(body), signal }), options);
}

async function byItem(item, options) {
  const { vector } = state.served.limits.rescore && !item.vector ? await known(item.id, item.archive).catch(() => item) : item;
  await byCode({ name: item.label || item.id, modality: item.modality, belief: { modality: item.modality }, code: item.code, vector, item }, options);
  scrollTo({ top: 0 });
  $("result-name").focus({ preventScroll: true });
}

// ---- filters and the address

function find(value) {
  if (value) $("tools").elements.find.value = value;
  return $("tools").elements.find.value || "any";
}

function filters() {
  const asked = new URLSearchParams({ k: state.k, find: find() });
  chosen().forEach((name) => asked.append("archive", name));
  if ($("label").value) asked.append("where", `label=${$("label").value}`);
  if (+$("distance").value < +$("distance").max) asked.set("distance", $("distance").value);
  return asked;
}

/** What the address bar says: enough to give these very hits again. */
function address() {
  const asked = filters();
  const { item, code, vector, name, modality, belief } = state.query;
  if (item) asked.set("like", item.id), asked.set("of", item.archive);
  else asked.set("code", code), asked.set("name", name), asked.set("by", modality ?? "");
  if (!item && vector) asked.set("vector", vector);
  if (!item && belief) asked.set("believed", `${belief.modality} ${belief.share}`);
  return asked;
}

/** Take up what the address says: a link, a reload, or the way back. */
async function restore() {
  const asked = new URLSearchParams(location.search);
  if (!asked.has("code") && !asked.has("like")) {
    document.body.classList.remove("asked");
    $("result").hidden = true;
    state.under?.abort();
    Object.assign(state, { query: null, find: null });
    return begin();
  }
  const names = asked.getAll("archive").join("\n");
  if ([...$("archive").options].some((option) => option.value === names)) $("archive").value = names;
  fill();
  find(asked.get("find"));
  state.k = +asked.get("k") || MANY;
  $("label").value = (asked.get("where") ?? "").replace(/^label=/, "");
  $("distance").value = asked.get("distance") ?? $("distance").max;
  moved();
  try {
    if (asked.has("like")) {
      await byItem(await known(asked.get("like"), asked.get("of")), { push: false });
    } else {
      const { code, vector, name, by, believed } = Object.fromEntries(asked);
      const [modality, share] = (believed ?? "").split(" ");
      const belief = modality ? { modality, share: +share } : null;
      await byCode(history.state?.query ?? { code, vector, name: name || code, modality: by || null, belief }, { push: false });
    }
  } catch (error) {
    say(error.message, true);
  }
}

// ---- showing

function say(text, wrong = false) {
  $("status").textContent = wrong ? "" : text;
  $("error").textContent = wrong ? text : "";
  $("status").hidden = wrong || !text;
  $("error").hidden = !wrong;
}

function show() {
  const { query, reply } = state;
  const hits = reply.queries[0].hits;
  document.body.classList.add("asked");
  $("begin").hidden = true;
  $("result").hidden = false;
  const { item } = query, apart = hits.map((hit) => hit.distance);
  $("result-name").textContent = item ? `More like ${item.label || item.id}` : query.name;
  $("asked-more").textContent = [
    item ? `${item.id}${item.transcript ? `: “${item.transcript}”` : ""}` : query.heard ? `heard: “${query.heard}”` : { sound: words() ? "no words heard, so searched by its sound" : "a sound", image: "an image", text: "typed" }[query.modality] ?? "a code",
    reply.queries[0].used, `${hits.length} nearest`, hits.length && `${[...new Set([Math.min(...apart), Math.max(...apart)])].join(" to ")} of ${reply.bits} bits apart`,
  ].filter(Boolean).join(" · ");
  $("strength").hidden = !reply.queries[0].strength;
  $("strength").className = (reply.queries[0].strength ?? "").split(" ")[0];
  $("strength").textContent = STRENGTH[reply.queries[0].strength] ?? "";
  const preview = query.preview || (item && media(item, 240));
  const asked = !preview ? [] : query.modality === "sound" ? [player(item ? media(item) : query.source, preview, "the query")] : [make("img", { src: preview, alt: "Your query" })];
  $("asked").replaceChildren(...asked);
  $("asked-bits").firstElementChild.replaceWith(bits(query.code, query.code, reply.bits));
  $("hits").className = hits.length && hits.every((hit) => hit.modality === "sound") ? "sounds" : "";
  $("hits").replaceChildren(...hits.map(card));
  $("none").hidden = hits.length > 0;
  $("none").textContent = "Nothing passes these filters.";
  $("more").hidden = hits.length < state.k || state.k >= state.served.limits.hits;
  map.show(hits);
}

function card(hit) {
  const name = hit.label || hit.id;
  const like = make("button", { type: "button", className: "like", textContent: "More like this" });
  like.setAttribute("aria-label", `More like ${name}, rank ${hit.rank}`);
  like.onclick = () => byItem(hit);
  const line = make("div", { className: "line" }, make("i", { textContent: hit.rank, title: "rank" }), make("b", { textContent: name, title: name }));
  const foot = make("div", { className: "foot" }, make("span", { textContent: `distance ${hit.distance}${alike(hit)}${likely(hit)}`, title: hit.probability == null ? "" : "how often a hit at this distance was right on validation data" }), like);
  const narrow = $("hits").className !== "sounds" && state.reply.bits <= 64; // sounds alone have wide cards
  const several = state.reply.archives.length > 1 ? make("div", { className: "id", textContent: hit.archive }) : null;
  return make("li", { className: "card", id: `hit-${hit.rank}`, onmouseenter: () => map.mark(hit.rank, true), onmouseleave: () => map.mark(hit.rank, false) },
    hit.modality === "sound" ? player(media(hit), media(hit, 240), name) : hit.modality === "text" ? null : picture(hit, name),
    make("div", { className: "text" }, line, hit.transcript && make("div", { className: "caption", textContent: hit.transcript }),
      several, bits(hit.code, state.query.code, state.reply.bits, narrow ? 16 : 32), foot));
}

const alike = ({ similarity }) => (similarity == null ? "" : `, similarity ${similarity.toFixed(3)}`);
const likely = ({ probability }) => (probability == null ? "" : `, ${Math.round(100 * probability)}% likely`);

function picture(hit, name) {
  const button = make("button", { type: "button", className: "picture", onclick: () => detail(hit) });
  button.setAttribute("aria-label", `${name}, rank ${hit.rank}: show large`);
  const image = make("img", { src: media(hit, 360), alt: "", loading: "lazy" });
  image.onerror = () => image.replaceWith(make("span", { className: "gone", textContent: "the file can't be shown" }));
  button.append(image);
  return button;
}

/** A play button beside a waveform; all sounds share one player. Without a source there is nothing to play. */
function player(source, wave, name) {
  const strip = make("div", { className: "wave" });
  strip.style.setProperty("--wave", `url("${wave}")`);
  if (!source) return make("div", { className: "sound" }, strip);
  const button = make("button", { type: "button", innerHTML: PLAY });
  button.setAttribute("aria-label", `Play ${name}`);
  button.onclick = () => sound.toggle(source, button, strip);
  strip.onclick = (event) => sound.toggle(source, button, strip, event.offsetX / strip.clientWidth);
  return make("div", { className: "sound" }, button, strip);
}

const sound = {
  toggle(source, button, strip, at) {
    const audio = $("player");
    if (this.button === button && at === undefined && !audio.paused) return audio.pause();
    if (this.button !== button) {
      this.rest();
      Object.assign(this, { button, strip });
      audio.src = source;
    }
    if (at !== undefined) audio.addEventListener("playing", () => (audio.currentTime = at * audio.duration), { once: true });
    audio.play().catch((error) => error.name !== "AbortError" && say("This sound can't be played here.", true));
  },
  rest() {
    this.button?.classList.remove("on");
    this.strip?.style.setProperty("--played", "0%");
  },
  follow() {
    const audio = $("player");
    sound.button?.classList.toggle("on", !audio.paused && !audio.ended);
    sound.strip?.style.setProperty("--played", `${audio.ended ? 0 : (100 * audio.currentTime) / (audio.duration || 1)}%`);
    if (!audio.paused && !audio.ended) requestAnimationFrame(sound.follow);
  },
};
for (const event of ["playing", "pause", "ended"]) $("player").addEventListener(event, () => sound.follow());

/** The bits of a code as squares: filled for 1; those that differ from the query's in another colour. */
function bits(code, query, length, columns = 32) {
  const bit = (text, j) => (parseInt(text.substr(2 * (j >> 3), 2), 16) >> (j & 7)) & 1;
  const row = length > 128 ? 64 : columns;
  const paths = { off: "", on: "", "off-differs": "", "on-differs": "" };
  let differ = 0;
  for (let j = 0; j < length; j++) {
    const value = bit(code, j), differs = value !== bit(query, j), inset = differs && !value ? 0.1 : 0;
    differ += differs;
    const side = (0.84 - 2 * inset).toFixed(2);
    paths[(value ? "on" : "off") + (differs ? "-differs" : "")] += `M${(j % row) + inset} ${Math.floor(j / row) + inset}h${side}v${side}h-${side}z`;
  }
  const holder = make("div");
  const drawn = Object.entries(paths).map(([name, d]) => `<path class="${name}" d="${d}"/>`).join("");
  const says = code === query ? `The ${length} bits of the code` : `${differ} of ${length} bits differ from the query's`;
  holder.innerHTML = `<svg class="bits" role="img" aria-label="${says}" viewBox="0 0 ${row} ${Math.ceil(length / row)}"><title>${says}</title>${drawn}</svg>`;
  return holder.firstChild;
}

function detail(hit) {
  $("detail-name").textContent = hit.label || hit.id;
  $("detail-media").replaceChildren(make("img", { src: media(hit, 1024), alt: hit.label || hit.id }));
  $("detail-file").href = media(hit);
  const shown = { id: hit.id, archive: hit.archive, distance: `${hit.distance} of ${state.reply.bits} bits${likely(hit)}`, similarity: hit.similarity, pair: hit.pair, split: hit.split, ...hit.fields,
    corners: hit.footprint?.map(([longitude, latitude]) => `${latitude.toFixed(4)}, ${longitude.toFixed(4)}`).join("; ") };
  $("detail-fields").replaceChildren(...Object.entries(shown).filter(([, value]) => value != null)
    .flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  $("detail").showModal();
}

/** Items to begin with, where nothing has been asked yet. */
async function begin() {
  const modality = count("images") ? "image" : "sound";
  const asked = new URLSearchParams({ archive: chosen()[0], modality, count: 14 });
  const { items } = await ask(`/v1/items?${asked}`);
  $("samples").replaceChildren(...items.map((item) => {
    const name = item.label || item.transcript || item.id;
    const button = make("button", { type: "button", onclick: () => (find(modality), byItem(item)) },
      modality === "image" ? make("img", { src: media(item, 240), alt: "", loading: "lazy" }) : null, make("span", { textContent: name }));
    return make("li", {}, button);
  }));
  $("begin").hidden = !items.length;
}

// ---- downloads

function save(content, type, suffix) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: `hits.${suffix}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** The hits as CSV: what every hit has, then the further fields of any; footprints as WKT, which GIS programs read. */
function table(hits) {
  const alike = hits.some((hit) => hit.similarity != null) ? ["similarity"] : [];
  const known = ["rank", "distance", ...alike, "probability", "archive", "id", "modality", "label", "pair", "split", "speaker", "transcript", "code"];
  const wkt = ({ footprint: ring }) => ring && `POLYGON ((${[...ring, ring[0]].map((corner) => corner.join(" ")).join(", ")}))`;
  const rows = hits.map((hit) => ({ ...hit.fields, ...hit, footprint: wkt(hit) }));
  const more = new Set([...hits.flatMap((hit) => Object.keys(hit.fields)), ...(hits.some(wkt) ? ["footprint"] : [])]);
  const columns = [...new Set([...known, ...more])];
  const cell = (value) => (/[",\r\n]/.test(value ?? "") ? `"${value.replaceAll('"', '""')}"` : (value ?? ""));
  return [columns.map(cell), ...rows.map((row) => columns.map((name) => cell(row[name])))].map((row) => row.join(",") + "\r\n").join("");
}

// ---- what the reader does

/** Options that depend on the archives chosen. */
function fill() {
  const labels = [...new Set(entries().flatMap((archive) => archive.labels))].sort(), kept = $("label").value;
  $("label").replaceChildren(new Option("all", ""), ...labels.map((label) => new Option(label)));
  $("label").value = labels.includes(kept) ? kept : "";
  $("label").parentElement.hidden = !labels.length;
  $("distance").max = entries()[0].bits;
  $("distance").value = $("distance").max;
  moved();
  for (const [what, value] of [["images", "image"], ["sounds", "sound"]])
    document.querySelector(`[name=find][value=${value}]`).disabled = !count(what);
  $("about").textContent = `${count("images").toLocaleString()} images, ${count("sounds").toLocaleString()} sounds`;
}

const words = () => state.served.archives.some((archive) => archive.texts);
const moved = () => ($("distance-value").textContent = $("distance").value);
const again = () => state.query && ((state.k = MANY), byCode(state.query));

const hint = $("spoken").textContent;
recorder.on = (on) => {
  $("mic").classList.toggle("on", on);
  $("mic").style.setProperty("--level", 0);
  $("mic-name").textContent = on ? "Stop and search" : "Record a spoken query";
  $("spoken").textContent = on ? "Listening" : hint;
};
recorder.heard = (level, seconds) => {
  $("mic").style.setProperty("--level", level.toFixed(3));
  $("spoken").textContent = `Listening, ${seconds.toFixed(0)} s. Press again to search, Esc to drop it`;
};
$("mic").onclick = async () => {
  if ($("mic").classList.contains("on")) return recorder.stop();
  say("");
  try {
    const file = await recorder.start();
    if (file) byFile(file);
  } catch (error) {
    say(error.message, true);
  }
};
$("file").onchange = () => $("file").files.length && (byFile($("file").files[0]), ($("file").value = ""));
$("words").onsubmit = (event) => (event.preventDefault(), $("text").value.trim() && byText($("text").value));
$("tools").onchange = again;
$("tools").onsubmit = (event) => event.preventDefault();
$("distance").oninput = moved;
$("more").onclick = () => ((state.k = Math.min(2 * state.k, state.served.limits.hits)), byCode(state.query));
$("archive").onchange = () => (fill(), state.query ? again() : begin());
$("json").onclick = () => save(JSON.stringify(state.reply, null, 2), "application/json", "json");
$("csv").onclick = () => save(table(state.reply.queries[0].hits), "text/csv", "csv");
$("link").onclick = async () => {
  const link = new URL("?" + address(), location.href).href;
  await navigator.clipboard.writeText(link).then(() => say("The link to these hits is copied."), () => say(link));
};
window.onkeydown = (event) => void (event.key === "Escape" && recorder.stop(true)); // false would swallow the key
window.onpopstate = restore;
document.onpaste = ({ clipboardData }) => clipboardData.files.length && byFile(clipboardData.files[0]);
document.ondragover = (event) => (event.preventDefault(), document.body.classList.add("dropping"));
document.ondragleave = (event) => event.relatedTarget || document.body.classList.remove("dropping");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files.length) byFile(event.dataTransfer.files[0]);
};

/** Look what is served, until the models are there. */
async function look() {
  state.served = await ask("/v1/archives");
  const { archives } = state.served;
  $("words").hidden = !words();
  const failed = archives.find((archive) => archive.problem);
  if (failed) say(`No new query can be encoded: ${failed.problem}`, true);
  else if (archives.some((archive) => archive.model === "loading")) {
    say("The model is still loading; what is below can be searched already.");
    setTimeout(async () => $("status").textContent.startsWith("The model is") && (await look(), state.served.archives.some((archive) => archive.model === "loading") || say("")), 700);
  }
}

/** Ask what is served, and show what the address says. */
async function start() {
  try {
    await look();
    const encoders = [...new Set(state.served.archives.map((archive) => archive.encoder))];
    const groups = encoders.map((encoder) => state.served.archives.filter((archive) => archive.encoder === encoder)).filter((group) => group.length > 1);
    const names = [...groups.map((group) => group.map((archive) => archive.name)), ...state.served.archives.map((archive) => [archive.name])];
    $("archive").replaceChildren(...names.map((group) => new Option(group.length > 1 ? `all of ${group.join(", ")}` : group[0], group.join("\n"))));
    map.template = state.served.tiles;
    $("choice").hidden = names.length < 2;
    fill();
    await restore();
  } catch (error) {
    say(error.message, true);
  }
}
const ready = start();
