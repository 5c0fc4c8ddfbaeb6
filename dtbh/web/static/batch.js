// Many queries at once: sent together, answered one after the other, taken away as one table.

import { save, table } from "./downloads.js";
import { $, answered, make, media, modality, other, say, state } from "./service.js";

const SHOWN = 6; // hits of each query
const SOUND = /\.(wav|flac|ogg|oga|opus|mp3|m4a|mp4|webm|aac|aiff?|amr|3gp)$/i;
const wanted = (file) => !file.name.startsWith(".") && (/^(audio|image|video)\//.test(file.type) || SOUND.test(file.name) || modality(file) === "image");

export const batch = {
  open: () => {}, // shows one of its queries alone
  under: null,
  reply: null,

  async ask(files, archives) {
    const { batch_queries: many, batch_mb: most } = state.served.limits, queries = files.filter(wanted);
    if (!queries.length) return say("There is no sound or image among these files.", true);
    if (queries.length > many) return say(`At most ${many} files fit in one batch, found ${queries.length}.`, true);
    if (queries.reduce((sum, file) => sum + file.size, 0) > most * 1e6) return say(`Too large: at most ${most} MB can be sent at once.`, true);
    this.under?.abort();
    this.under = new AbortController();
    say("");
    this.begin(queries.length);
    const form = new FormData();
    queries.forEach((file) => form.append("file", file));
    const asked = new URLSearchParams({ k: 10 });
    archives.forEach((name) => asked.append("archive", name));
    try {
      const reply = await answered(`v1/search/batch?${asked}`, { method: "POST", body: form, signal: this.under.signal });
      for await (const [name, content] of events(reply.body)) name === "progress" ? this.progress(content) : this.show(content);
    } catch (error) {
      $("batch").hidden = !this.reply;
      if (error.name !== "AbortError") say(error.message, true);
    }
  },

  begin(many) {
    this.reply = null;
    $("batch").hidden = false;
    $("batch-name").textContent = `${many} queries`;
    $("batch-progress").hidden = false;
    Object.assign($("batch-progress"), { max: many, value: 0 });
    $("batch-said").textContent = "Sending them…";
    $("batch-more").hidden = true;
    $("batch-stop").hidden = false;
    $("batch-hits").replaceChildren();
    $("batch-name").focus();
  },

  progress({ done, count, name }) {
    $("batch-progress").value = done;
    $("batch-said").textContent = `${done} of ${count}: ${name}`;
  },

  show(reply) {
    this.reply = reply;
    $("batch-progress").hidden = $("batch-stop").hidden = true;
    $("batch-more").hidden = false;
    $("batch-said").textContent = `${reply.queries.length} answered${reply.failures.length ? `, ${reply.failures.length} left out` : ""}`;
    $("batch-hits").replaceChildren(
      ...reply.failures.map(({ name, problem }) => make("li", { className: "failed", textContent: problem.startsWith(name) ? problem : `${name}: ${problem}` })),
      ...reply.queries.map((answer) => {
        const button = make("button", { type: "button", textContent: answer.heard ? `${answer.name}: “${answer.heard}”` : answer.name });
        button.onclick = () => this.open({ name: answer.name, modality: answer.modality, heard: answer.heard, belief: answer.belief, code: answer.code, vector: answer.vector, weights: answer.weights }, other(answer.modality));
        return make("li", {}, button, make("ul", {}, ...answer.hits.slice(0, SHOWN).map(small)));
      }));
  },
};

/** A hit in small. */
function small(hit) {
  const name = hit.label || hit.id, says = `${name}, distance ${hit.distance}`;
  const shown = hit.modality === "image" ? make("img", { src: media(hit, 120), alt: says, loading: "lazy" }) : make("span", { textContent: hit.transcript || name });
  return make("li", { title: says }, shown);
}

/** The events of a stream, as name and content. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (kept + part.value).split("\n\n");
    kept = blocks.pop();
    for (const block of blocks) {
      const [first, ...rest] = block.split("\n");
      yield [first.slice("event: ".length), JSON.parse(rest.map((line) => line.slice("data: ".length)).join("\n"))];
    }
  }
}

$("batch-stop").onclick = () => batch.under.abort();
$("batch-close").onclick = () => (batch.under?.abort(), ($("batch").hidden = true), $("file").focus());
$("batch-json").onclick = () => save(JSON.stringify(batch.reply, null, 2), "application/json", "batch.json");
$("batch-csv").onclick = () => save(table(batch.reply.queries.flatMap(({ name, hits }) => hits.map((hit) => ({ ...hit, query: name }))), true), "text/csv", "batch.csv");
