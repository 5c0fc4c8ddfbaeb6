// Speaking: the button, the level while one speaks, and on request the recording once more before it is sent.

import { recorder } from "./recorder.js";
import { $, make, say } from "./service.js";

const BARS = 60; // of the level, newest right

export const speak = { send: () => {} }; // what is done with a recording

const hint = $("spoken").textContent, levels = [];

recorder.on = (on) => {
  $("mic").classList.toggle("on", on);
  $("mic").style.setProperty("--level", 0);
  $("mic-name").textContent = on ? "Stop and search" : "Record a spoken query";
  $("spoken").textContent = on ? "Listening" : hint;
  $("level").toggleAttribute("hidden", !on); // an SVG has no such property
  levels.length = 0;
  if (on) say("Recording; it ends when you are silent.");
  else say("");
};
recorder.heard = (level, seconds) => {
  $("mic").style.setProperty("--level", level.toFixed(3));
  $("spoken").textContent = `Listening, ${seconds.toFixed(0)} s. Press again to search, Esc to drop it`;
  levels.push(level);
  if (levels.length > BARS) levels.shift();
  $("level").firstElementChild.setAttribute("d", levels.map((value, x) => `M${BARS - levels.length + x + 0.5} ${(10 - 9 * value - 0.4).toFixed(1)}V${(10 + 9 * value + 0.4).toFixed(1)}`).join(""));
};

async function record() {
  if ($("mic").classList.contains("on")) return recorder.stop();
  say("");
  $("again").hidden = true;
  try {
    const file = await recorder.start();
    if (file && $("review").checked) review(file);
    else if (file) speak.send(file);
  } catch (error) {
    say(error.message, true);
  }
}

/** Let the reader hear a recording, and say what becomes of it. */
function review(file) {
  const send = make("button", { type: "button", className: "first", textContent: "Search with it" });
  const drop = make("button", { type: "button", textContent: "Drop it" });
  const audio = make("audio", { controls: true, src: URL.createObjectURL(file) });
  audio.setAttribute("aria-label", "Your recording");
  send.onclick = () => (($("again").hidden = true), speak.send(file));
  drop.onclick = () => (($("again").hidden = true), $("mic").focus());
  $("again").replaceChildren(audio, send, drop);
  $("again").hidden = false;
  say("Recorded. Hear it, search with it, or record it anew.");
  send.focus();
}

try {
  $("review").checked = localStorage.getItem("dtbh-review") === "yes";
  $("review").onchange = () => localStorage.setItem("dtbh-review", $("review").checked ? "yes" : "no");
} catch {
  // a browser that keeps nothing
}
$("mic").onclick = record;
window.addEventListener("keydown", (event) => event.key === "Escape" && recorder.stop(true));
