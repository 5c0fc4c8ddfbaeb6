// What an archive of unnamed images holds, where nothing has been asked yet: groups of tiles, words to begin with.
// It stands by itself: what is clicked goes through the page's own text box, or through its address.

const panel = document.getElementById("overview");
const AGAIN = 1500; // milliseconds until the model is asked again for words
const choice = document.getElementById("archive");
let shown = null; // name of the archive

/** An element with properties, attributes and children; texts stay texts. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    name in element ? (element[name] = value) : element.setAttribute(name, value);
  element.append(...children.filter((child) => child != null));
  return element;
}

const get = async (path) => {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${reply.status}`);
  return reply.json();
};
const percent = (share) => (share < 0.005 ? "under 1%" : `${Math.round(100 * share)}%`);
const media = ({ id, archive }, size) => `v1/items/${encodeURIComponent(id)}/media?` + new URLSearchParams({ archive, size });
const named = ({ names }) => names.map(({ name }) => name).join(", ");

/** A link to the images like one; the page takes up its address without being loaded anew. */
function like(item, group, place) {
  const asked = new URLSearchParams({ find: "image", archive: item.archive, like: item.id, of: item.archive });
  const name = `${named(group) || "Group"}, example ${place + 1}: more like this`;
  const image = make("img", { src: media(item, 240), alt: "", loading: "lazy" });
  const link = make("a", { href: `?${asked}`, "aria-label": name, title: named(group) }, image);
  image.onerror = () => image.replaceWith(make("span", { className: "gone" }));
  link.onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    history.pushState(null, "", link.getAttribute("href"));
    dispatchEvent(new PopStateEvent("popstate"));
  };
  return link;
}

function group(found) {
  const [first, ...others] = found.names;
  const more = others.length ? `also ${others.map(({ name }) => name).join(", ")}` : "";
  const caption = make("p", {}, make("b", { textContent: first?.name ?? "Alike" }), make("span", { textContent: ` ${percent(found.share)}` }),
    more ? make("i", { textContent: more }) : null);
  return make("li", {}, make("div", { className: "tiles" }, ...found.examples.map((item, place) => like(item, found, place))), caption);
}

/** A word to begin with: as if it had been typed. */
function query(text) {
  return make("button", { type: "button", textContent: text, onclick: () => {
    document.getElementById("text").value = text;
    document.getElementById("words").requestSubmit();
  } });
}

/** What can be asked, by what the model takes. */
function hint({ takes, source }) {
  if (source === "loading") return "The model is being asked for words; what is below can be clicked already.";
  const ways = [takes.includes("sound") && "say", takes.includes("text") && "type"].filter(Boolean).join(" or ");
  if (!ways) return "Click a tile to see the ones most like it, or choose an image of your own.";
  return `You can ${ways} what is seen from above, in your own words: a thing, how many, or what lies beside it, as in “boats at a pier” or “houses between trees”.`;
}

function show(reply) {
  const typed = reply.takes.includes("text") && reply.queries.length;
  const some = reply.sampled < reply.images ? `, by ${reply.sampled.toLocaleString()} of them` : "";
  panel.replaceChildren(
    make("h2", { id: "overview-name", textContent: "What this archive holds" }),
    make("p", { className: "hint", role: "status", textContent: hint(reply) }),
    typed ? make("p", { className: "queries" }, "For example: ", ...reply.queries.map(query)) : "",
    make("ol", {}, ...reply.groups.map(group)),
    make("p", { className: "note", textContent: `${reply.images.toLocaleString()} images in groups of like codes${some}, with the share of each.${reply.source === "model" ? " The words are the model’s, the nearest of a list." : ""}` }),
  );
  panel.hidden = false;
}

/** Look at the archive that is chosen, if its images have no labels; again while its words are being computed. */
async function look() {
  const { archives } = await get("v1/archives");
  const archive = archives.find(({ name }) => name === choice.value.split("\n")[0]) ?? archives[0];
  shown = archive.name;
  if (!archive.images || archive.labels.length) return void (panel.hidden = true);
  const reply = await get(`v1/overview?${new URLSearchParams({ archive: archive.name })}`);
  if (shown !== archive.name) return; // another was chosen meanwhile
  const held = panel.contains(document.activeElement);
  if (reply.groups.length && !held) show(reply); // what somebody stands on is not taken away
  if (reply.source === "loading" || archive.model === "loading" || held) setTimeout(() => look().catch(() => {}), AGAIN);
}

const begin = () => look().catch(() => (panel.hidden = true)); // the page itself says what is wrong
choice.addEventListener("change", begin);
begin();
