// Two to four hits side by side.

import { bits, fields, player } from "./cards.js";
import { $, make, media, state } from "./service.js";

export function compare(hits) {
  $("compare-hits").replaceChildren(...hits.map((hit) => {
    const name = hit.label || hit.id;
    const shown = hit.modality === "sound" ? player(media(hit), media(hit, 240), name)
      : hit.modality === "text" ? null : make("img", { src: media(hit, 640), alt: `${name}, rank ${hit.rank}` });
    return make("li", {}, shown, make("h3", { textContent: `${hit.rank}. ${name}` }),
      hit.transcript && make("p", { className: "caption", textContent: hit.transcript }),
      bits(hit.code, state.query.code, state.reply.bits, 16), make("dl", {}, ...fields(hit)));
  }));
  $("compare").style.setProperty("--many", hits.length);
  $("compare").showModal();
}
