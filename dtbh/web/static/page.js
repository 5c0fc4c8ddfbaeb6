// The page: a query goes to the service, its hits come back. No framework, no build, nothing from elsewhere.

import { batch } from "./batch.js";
import { bits, card, player } from "./cards.js";
import { compare } from "./compare.js";
import { save, table } from "./downloads.js";
import { map } from "./map.js";
import { speak } from "./microphone.js";
import { selection } from "./selection.js";
import { $, ask, chosen, count, entries, known, make, media, modality, other, say, sending, state, words } from "./service.js";
import { visited } from "./visited.js";

const MANY = 30; // hits, until more are asked for
const STRENGTH = { strong: "The nearest are likely what you mean", weak: "The nearest may be what you mean", "nothing close": "Nothing close: what follows is the nearest, but likely not what you mean" };

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
    Object.assign(state, { reply, find: find(), query: { ...query, heard: answer.heard ?? query.heard, belief: answer.belief, code: answer.code, vector: answer.vector ?? query.vector, weights: answer.weights ?? query.weights, preview: query.preview ?? answer.preview } });
    if (push) history.pushState({ query: { ...state.query, source: null } }, "", "?" + address());
    visited.add(state.query, state.find);
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
  const kind = modality(file);
  const most = state.served.limits.upload_mb;
  if (file.size > most * 1e6) return say(`${file.name}: too large, at most ${most} MB can be sent.`, true);
  const query = { name: file.name, modality: kind, source: URL.createObjectURL(file) };
  find(other(kind));
  const waits = entries().some((archive) => archive.model === "loading");
  await search(query, async (signal) => {
    say(waits ? "The model is still loading; the answer comes as soon as it is there." : "Searching…");
    const form = new FormData();
    form.append("file", file);
    const reply = await ask(`v1/search/${kind}?${filters()}&preview=true`, { method: "POST", body: form, signal });
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
  await search({ name: text, modality: "text" }, (signal) => ask("v1/search/text", sending(body, signal)));
  if (!$("result").hidden) $("result-name").focus();
}

function byCode(query, options) {
  const asked = filters();
  const body = { codes: [query.code], vectors: query.vector ? [query.vector] : null, weights: query.weights ? [query.weights] : null, belief: query.belief ?? null, archive: chosen(), k: state.k, find: find(), where: asked.getAll("where") };
  if (asked.has("distance")) body.distance = +asked.get("distance");
  return search(query, (signal) => ask("v1/search/code", sending(body, signal)), options);
}

async function byItem(item, options) {
  const kept = state.served.archives.find(({ name }) => name === item.archive)?.vectors;
  const { vector } = kept && !item.vector ? await known(item.id, item.archive).catch(() => item) : item;
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
  const { item, code, vector, weights, name, modality, belief } = state.query;
  if (item) asked.set("like", item.id), asked.set("of", item.archive);
  else asked.set("code", code), asked.set("name", name), asked.set("by", modality ?? "");
  if (!item && vector) asked.set("vector", vector);
  if (!item && weights) asked.set("weights", weights);
  if (!item && belief) asked.set("believed", `${belief.modality} ${belief.share}`);
  return asked;
}

/** Take up what the address says: a link, a reload, or the way back. */
async function restore() {
  const asked = new URLSearchParams(location.search);
  if (!asked.has("code") && !asked.has("like")) {
    document.body.classList.remove("asked");
    visited.show(null);
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
      const { code, vector, weights, name, by, believed } = Object.fromEntries(asked);
      const [modality, share] = (believed ?? "").split(" ");
      const belief = modality ? { modality, share: +share } : null;
      await byCode(history.state?.query ?? { code, vector, weights, name: name || code, modality: by || null, belief }, { push: false });
    }
  } catch (error) {
    say(error.message, true);
  }
}

// ---- showing

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
  selection.keep(hits);
  $("hits").replaceChildren(...hits.map((hit) => card(hit, byItem)));
  $("none").hidden = hits.length > 0;
  $("none").textContent = "Nothing passes these filters.";
  $("more").hidden = hits.length < state.k || state.k >= state.served.limits.hits;
  map.show(hits);
}

/** Items to begin with, where nothing has been asked yet. */
async function begin() {
  const modality = count("images") ? "image" : "sound";
  const asked = new URLSearchParams({ archive: chosen()[0], modality, count: 14 });
  const { items } = await ask(`v1/items?${asked}`);
  $("samples").replaceChildren(...items.map((item) => {
    const name = item.label || item.transcript || item.id;
    const button = make("button", { type: "button", onclick: () => (find(modality), byItem(item)) },
      modality === "image" ? make("img", { src: media(item, 240), alt: "", loading: "lazy" }) : null, make("span", { textContent: name }));
    return make("li", {}, button);
  }));
  $("begin").hidden = !items.length;
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

const moved = () => ($("distance-value").textContent = $("distance").value);
const again = () => state.query && ((state.k = MANY), byCode(state.query));

/** Files: one is a query, several are a batch. */
async function byFiles(files) {
  if (files.length === 1) return byFile(files[0]);
  await ready;
  if (state.served && files.length) batch.ask(files, chosen());
}

speak.send = byFile;
selection.compare = compare;
visited.run = (query, kind) => (find(kind), byCode(query).then(() => $("result").hidden || $("result-name").focus()));
batch.open = visited.run;
for (const id of ["file", "folder"]) $(id).onchange = () => (byFiles([...$(id).files]), ($(id).value = ""));
$("words").onsubmit = (event) => (event.preventDefault(), $("text").value.trim() && byText($("text").value));
$("tools").onchange = again;
$("tools").onsubmit = (event) => event.preventDefault();
$("distance").oninput = moved;
$("more").onclick = () => ((state.k = Math.min(2 * state.k, state.served.limits.hits)), byCode(state.query));
$("archive").onchange = () => (fill(), state.query ? again() : begin());
$("json").onclick = () => save(JSON.stringify(state.reply, null, 2), "application/json", "hits.json");
$("csv").onclick = () => save(table(state.reply.queries[0].hits), "text/csv", "hits.csv");
$("link").onclick = async () => {
  const link = new URL("?" + address(), location.href).href;
  await navigator.clipboard.writeText(link).then(() => say("The link to these hits is copied."), () => say(link));
};
window.onpopstate = restore;
document.onpaste = ({ clipboardData }) => clipboardData.files.length && byFiles([...clipboardData.files]);
document.ondragover = (event) => (event.preventDefault(), document.body.classList.add("dropping"));
document.ondragleave = (event) => event.relatedTarget || document.body.classList.remove("dropping");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  byFiles([...event.dataTransfer.files]);
};

/** Look what is served, until the models are there. */
async function look() {
  state.served = await ask("v1/archives");
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
