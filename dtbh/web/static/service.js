// The service as the page knows it: what it serves, how it is asked, and elements made of what it says.

export const $ = (id) => document.getElementById(id);

export const state = { served: null, query: null, find: null, reply: null, k: 30, under: null }; // query, find: of what is shown

/** An element with properties and children; texts stay texts. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child != null));
  return element;
}

export function say(text, wrong = false) {
  $("status").textContent = wrong ? "" : text;
  $("error").textContent = wrong ? text : "";
  $("status").hidden = wrong || !text;
  $("error").hidden = !wrong;
}

/** What the service answers, as it is; what it refuses is an error in its own words. */
export async function answered(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is dtbh serve still running?");
  }
  if (reply.ok) return reply;
  const { detail } = await reply.json().catch(() => ({}));
  throw new Error(detail || `The service answered ${reply.status}.`);
}

export const ask = async (path, options) => (await answered(path, options)).json();

/** Options of a request that sends JSON. */
export const sending = (body, signal) => ({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

export const chosen = () => $("archive").value.split("\n").filter(Boolean);
export const entries = () => state.served.archives.filter((archive) => chosen().includes(archive.name));
export const count = (what) => entries().reduce((sum, archive) => sum + archive[what], 0);
export const media = (item, size) =>
  `v1/items/${encodeURIComponent(item.id)}/media?` + new URLSearchParams({ archive: item.archive, ...(size && { size }) });

/** An item with all that the service tells of it alone. */
export const known = (id, archive) => ask(`v1/items/${encodeURIComponent(id)}?${new URLSearchParams({ archive })}`);

/** Which modality a query finds if nobody said: the other one, where the archive has it. */
export const other = (modality) => (modality === "image" ? (count("sounds") ? "sound" : "image") : count("images") ? "image" : "sound");

const IMAGE = /\.(jpe?g|png|tiff?|webp|bmp|gif|jp2|p[gpbn]m)$/i;
export const modality = (file) => (file.type.startsWith("image/") || IMAGE.test(file.name) ? "image" : "sound");

export const words = () => state.served.archives.some((archive) => archive.texts);
