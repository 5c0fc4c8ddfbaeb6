"""The look of the report page, and the few lines of script that play its sounds.

Comes in: nothing. Colours follow the reader's light or dark setting; figures stand in columns.
"""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1f2428; --soft: #666e75; --line: #dfe1e0; --grid: #ececea;
  --one: #23679e; --two: #b8641b; --right: #2b7a4b; --wrong: #b3403a; --note: #fdf4e3; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171a; --card: #1c2024; --ink: #e4e7e9; --soft: #98a1a8; --line: #30363b; --grid: #282d32;
  --one: #6fb1e6; --two: #e6a15f; --right: #6cc18e; --wrong: #ea8a83; --note: #2b261c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 25px; line-height: 1.25; font-weight: 650; margin: 0 0 4px; }
h2 { font-size: 18px; font-weight: 650; margin: 40px 0 12px; }
h3 { font-size: 15px; font-weight: 600; margin: 22px 0 8px; }
p { margin: 0 0 10px; } .soft, figcaption, small { color: var(--soft); }
figcaption, small { font-size: 13px; }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px;
  margin: 0; min-width: 0; }
.note { background: var(--note); margin-top: 16px; } .note p:last-child { margin: 0; }
.one { --own: var(--one); } .two { --own: var(--two); }
.way { font-weight: 600; color: var(--own); }
.figure { font-size: 42px; line-height: 1.15; font-weight: 650; margin: 4px 0 0; }
h3:first-child { margin-top: 0; }
.figure small { font-size: 15px; font-weight: 400; margin-left: 6px; }
.scale { position: relative; height: 8px; border-radius: 4px; background: var(--grid); margin: 10px 0 6px; }
.scale i { position: absolute; inset: 0 auto 0 0; border-radius: 4px; background: var(--own); }
.scale b { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--ink); }
.scale u { position: absolute; top: 3px; height: 2px; background: var(--ink); opacity: .75; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { font-weight: 500; color: var(--soft); text-align: right; } td { text-align: right; }
th, td { padding: 4px 0 4px 12px; border-bottom: 1px solid var(--grid); vertical-align: middle; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
table + table { margin-top: 14px; } table + p { margin-top: 10px; }
.classes td:first-child { white-space: nowrap; }
.classes th[colspan] { text-align: left; padding-left: 24px; }
.classes td:nth-child(3), .classes td:nth-child(6) { padding-left: 24px; width: 1%; }
.classes + small { display: block; margin-top: 10px; }
tr:last-child td { border-bottom: 0; }
td.bar { width: 27%; padding-right: 4px; } td.bar .scale { margin: 0; height: 6px; }
svg { display: block; width: 100%; height: auto; max-width: 560px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
.key { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; margin-bottom: 6px; }
.key span::before { content: ""; display: inline-block; width: 14px; height: 3px; border-radius: 2px;
  margin-right: 6px; vertical-align: middle; background: var(--own); }
.key .right { --own: var(--right); } .key .wrong { --own: var(--wrong); }
.query { display: grid; grid-template-columns: 150px 1fr; gap: 14px; padding: 12px 14px;
  margin-bottom: 10px; }
.query > .tile { border-right: 1px solid var(--line); padding-right: 14px; }
.hits { display: grid; gap: 10px; grid-template-columns: repeat(6, minmax(0, 1fr)); list-style: none;
  margin: 0; padding: 0; }
.tile { min-width: 0; font-size: 12.5px; line-height: 1.35; }
.tile img { display: block; width: 100%; max-width: 128px; aspect-ratio: 1; object-fit: cover;
  border-radius: 5px; margin-bottom: 5px; }
.tile .text { color: var(--soft); overflow: hidden; display: -webkit-box; -webkit-box-orient: vertical;
  -webkit-line-clamp: 4; overflow-wrap: anywhere; margin: 5px 0 0; }
.tile .name { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.tile .none { color: var(--soft); font-style: italic; }
.right .mark { color: var(--right); } .wrong .mark { color: var(--wrong); } .mark { font-weight: 700; }
.right img { box-shadow: 0 3px 0 var(--right); } .wrong img { box-shadow: 0 3px 0 var(--wrong); }
button { font: inherit; color: var(--ink); background: transparent; border: 1px solid var(--line);
  border-radius: 999px; padding: 2px 11px; margin-bottom: 5px; cursor: pointer; }
button:disabled { color: var(--soft); border-style: dashed; cursor: default; }
button:hover:enabled, button:focus-visible, button.on { border-color: var(--own, var(--one));
  color: var(--own, var(--one)); }
dl { margin: 0; } dt { font-weight: 600; margin-top: 8px; } dd { margin: 0; color: var(--soft); }
@media (max-width: 640px) {
  main { padding: 18px 12px 40px; } .card { padding: 13px 13px; } .figure { font-size: 36px; }
  .query { grid-template-columns: 1fr; } .hits { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .query > .tile { border-right: 0; border-bottom: 1px solid var(--line); padding: 0 0 10px; }
  th, td { padding-left: 7px; } .classes { font-size: 13px; }
  .classes th[colspan], .classes td:nth-child(3), .classes td:nth-child(6) { padding-left: 10px; }
  td.bar { width: 20%; padding-left: 5px; } table.classes th:nth-child(2), table.classes td:nth-child(2),
  table.classes th:nth-child(4), table.classes td:nth-child(5) { display: none; } }
"""

SCRIPT = """
const clips = JSON.parse(document.getElementById("clips").textContent);
const player = new Audio();
let playing = null;
const stop = () => {
  player.pause();
  if (playing) { playing.classList.remove("on"); playing.textContent = "\\u25b6 play"; playing = null; }
};
player.onended = player.onerror = stop;
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-clip]");
  if (!button) return;
  const again = button === playing;
  stop();
  if (again) return;
  playing = button;
  button.classList.add("on");
  button.textContent = "\\u25a0 stop";
  player.src = clips[button.dataset.clip];
  player.play().catch(stop);
});
"""
