// Hits as cards: a picture or a player, the bits of the code, what is known; and one of them in large.

import { map } from "./map.js";
import { choice } from "./selection.js";
import { $, make, media, say, state } from "./service.js";

const PLAY = '<svg viewBox="0 0 14 14" aria-hidden="true"><path class="play" d="M3 1.2 12.4 7 3 12.8z"/><path class="pause" d="M2.5 1.5h3v11h-3zM8.5 1.5h3v11h-3z"/></svg>';

/** A hit as an entry of the results; `more` looks for others like it. */
export function card(hit, more) {
  const name = hit.label || hit.id;
  const like = make("button", { type: "button", className: "like", textContent: "More like this" });
  like.setAttribute("aria-label", `More like ${name}, rank ${hit.rank}`);
  like.onclick = () => more(hit);
  const line = make("div", { className: "line" }, make("i", { textContent: hit.rank, title: "rank" }), make("b", { textContent: name, title: name }), choice(hit, name));
  const foot = make("div", { className: "foot" }, make("span", { textContent: `distance ${hit.distance}${alike(hit)}${likely(hit)}`, title: hit.probability == null ? "" : "how often a hit at this distance was right on validation data" }), like);
  const narrow = $("hits").className !== "sounds" && state.reply.bits <= 64; // sounds alone have wide cards
  const several = state.reply.archives.length > 1 ? make("div", { className: "id", textContent: hit.archive }) : null;
  return make("li", { className: "card", id: `hit-${hit.rank}`, onmouseenter: () => map.mark(hit.rank, true), onmouseleave: () => map.mark(hit.rank, false) },
    hit.modality === "sound" ? player(media(hit), media(hit, 240), name) : hit.modality === "text" ? null : picture(hit, name),
    make("div", { className: "text" }, line, hit.transcript && make("div", { className: "caption", textContent: hit.transcript }),
      several, bits(hit.code, state.query.code, state.reply.bits, narrow ? 16 : 32), foot));
}

export const alike = ({ similarity }) => (similarity == null ? "" : `, similarity ${similarity.toFixed(3)}`);
export const likely = ({ probability }) => (probability == null ? "" : `, ${Math.round(100 * probability)}% likely`);

export function picture(hit, name) {
  const button = make("button", { type: "button", className: "picture", onclick: () => detail(hit) });
  button.setAttribute("aria-label", `${name}, rank ${hit.rank}: show large`);
  const image = make("img", { src: media(hit, 360), alt: "", loading: "lazy" });
  image.onerror = () => image.replaceWith(make("span", { className: "gone", textContent: "the file can't be shown" }));
  button.append(image);
  return button;
}

/** A play button beside a waveform; all sounds share one player. Without a source there is nothing to play. */
export function player(source, wave, name) {
  const strip = make("div", { className: "wave" });
  strip.style.setProperty("--wave", `url("${new URL(wave, document.baseURI)}")`);
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
export function bits(code, query, length, columns = 32) {
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

export function detail(hit) {
  $("detail-name").textContent = hit.label || hit.id;
  $("detail-media").replaceChildren(make("img", { src: media(hit, 1024), alt: hit.label || hit.id }));
  $("detail-file").href = media(hit);
  $("detail-fields").replaceChildren(...fields(hit));
  $("detail").showModal();
}

/** All that is known of a hit, as terms and descriptions. */
export function fields(hit) {
  const shown = { id: hit.id, archive: hit.archive, distance: `${hit.distance} of ${state.reply.bits} bits${likely(hit)}`, similarity: hit.similarity, pair: hit.pair, split: hit.split, ...hit.fields,
    corners: hit.footprint?.map(([longitude, latitude]) => `${latitude.toFixed(4)}, ${longitude.toFixed(4)}`).join("; ") };
  return Object.entries(shown).filter(([, value]) => value != null)
    .flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]);
}
